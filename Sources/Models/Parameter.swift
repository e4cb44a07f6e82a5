import Tensors

/// A weight of a model under its checkpoint name, with its gradient when it is trained.
public final class Parameter: @unchecked Sendable {
    /// The name in a Hugging Face checkpoint, such as `model.layers.0.mlp.up_proj.weight`.
    public let name: String
    /// The shape in the checkpoint: `[out, in]` or `[n]`.
    public let shape: [Int]
    /// The numbers; a vector is one row.
    public let value: Matrix
    /// Where gradients are added up, of the shape of `value`; nil until training asks for it.
    public private(set) var gradient: Matrix?
    /// Whether weight decay applies: not to norms and biases.
    public var decays: Bool { shape.count > 1 }

    /// A parameter over existing numbers.
    public init(name: String, shape: [Int], value: Matrix) {
        precondition(value.count == shape.reduce(1, *), "\(name): \(shape) for \(value.count)")
        self.name = name
        self.shape = shape
        self.value = value
    }

    /// A parameter of zeros.
    public convenience init(name: String, zeros shape: [Int]) {
        let columns = shape.last ?? 1
        let rows = shape.dropLast().reduce(1, *)
        self.init(name: name, shape: shape, value: Matrix(zeros: rows, columns))
    }

    /// Makes the gradient, all zeros, if there is none.
    public func prepareGradient() {
        if gradient == nil { gradient = Matrix(zeros: value.rows, value.columns) }
    }
}

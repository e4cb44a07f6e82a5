import Models
import Tensors

/// A head W [V, d] ready for both of its products: x W^T and, on the way back, (d logits) W.
public final class HeadProduct {
    /// [V, d].
    public let weight: Matrix
    /// Where the head's own gradient is added; nil when it is frozen.
    public let gradient: Matrix?
    /// The precision of the two products; the head's own gradient is computed in float32.
    public let compute: ComputeType
    private var forward: PackedWeights
    private var backward: PackedWeights?

    /// A frozen head, such as the teacher's.
    public init(frozen weight: Matrix, compute: ComputeType) {
        self.weight = weight
        self.compute = compute
        gradient = nil
        forward = PackedWeights(weight, compute: compute)
    }

    /// A head that learns: `refresh` it after every change of its numbers.
    public init(_ parameter: Parameter, compute: ComputeType) {
        weight = parameter.value
        gradient = parameter.gradient
        self.compute = compute
        forward = PackedWeights(weight, compute: compute)
    }

    /// The size of the vocabulary, V.
    public var vocabulary: Int { weight.rows }
    /// The size of the vectors that it multiplies, d.
    public var width: Int { weight.columns }

    /// Packs the head anew, after an optimiser step; nothing is to be done in float32.
    public func refresh() {
        guard compute.available == .bf16 else { return }
        forward = PackedWeights(weight, compute: compute)
        backward = nil
    }

    /// logits (rows, V) = x (rows, d) W^T.
    func logits(_ x: Matrix, into logits: Matrix) {
        forward.multiply(x, into: logits)
    }

    /// dX (rows, d) = or += dLogits (rows, V) W.
    func inputGradient(_ dLogits: Matrix, into dX: Matrix, accumulate: Bool) {
        let packed = backward ?? PackedWeights(weight, transposed: false, compute: compute)
        backward = packed
        packed.multiply(dLogits, into: dX, accumulate: accumulate)
    }

    /// Adds dLogits^T x to the head's gradient, if it has one.
    func addWeightGradient(_ dLogits: Matrix, _ x: Matrix) {
        guard let gradient else { return }
        multiply(dLogits, transposeA: true, x, into: gradient, beta: 1)
    }
}

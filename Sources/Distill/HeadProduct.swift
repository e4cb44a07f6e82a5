import Models
import Tensors

/// A head W [V, d] ready for its products: x W^T and, on the way back, (d product) W and its own gradient.
public final class HeadProduct {
    /// [V, d].
    public let weight: Matrix
    /// Where the head's own gradient is added; nil when it is frozen.
    public let gradient: Matrix?
    /// Cap of the logits: cap * tanh(product / cap); nil where the model has none.
    public let softCap: Float?
    /// The precision of the products; the head's own gradient is summed up in float32.
    public let compute: ComputeType
    private let products: WeightProducts
    /// Counts the changes of the numbers.
    private(set) var version = 0

    /// A frozen head, such as the teacher's.
    public init(frozen weight: Matrix, softCap: Float?, compute: ComputeType) {
        self.weight = weight
        self.softCap = softCap
        self.compute = compute
        gradient = nil
        products = WeightProducts(weight, compute: compute)
    }

    /// A head that learns: `refresh` it after every change of its numbers.
    public init(_ parameter: Parameter, softCap: Float?, compute: ComputeType) {
        weight = parameter.value
        self.softCap = softCap
        gradient = parameter.gradient
        self.compute = compute
        products = WeightProducts(weight, compute: compute)
    }

    /// The size of the vocabulary, V.
    public var vocabulary: Int { weight.rows }
    /// The size of the vectors that it multiplies, d.
    public var width: Int { weight.columns }

    /// Takes note of changed numbers, after an optimiser step; in bfloat16 they are packed anew.
    public func refresh() {
        // Nothing changes the numbers of one that is frozen, as the student's is with low-rank factors.
        guard gradient != nil else { return }
        version += 1
        products.refresh()
    }

    /// The head, frozen, of the first `size` tokens alone; itself where it has no more.
    func prefix(_ size: Int) -> HeadProduct {
        guard vocabulary > size else { return self }
        return HeadProduct(
            frozen: weight.slice(rows: 0..<size),
            softCap: softCap,
            compute: compute
        )
    }

    /// logits (rows, V) = x (rows, d) W^T, capped where the model caps them.
    func logits(_ x: Matrix, into logits: Matrix) {
        products.multiply(x, into: logits)
        Models.softCap(logits, at: softCap)
    }

    /// Multiplies gradients back: dHidden (rows, d) is overwritten, the head's own gradient added to.
    ///
    /// - Parameters:
    ///   - dProduct: (rows, V), the gradient by x W^T: that by the logits, taken back through the cap
    ///     (`CapBackward`). Its numbers are gone afterwards.
    ///   - hidden: x (rows, d).
    ///   - learns: Whether the head's gradient is wanted, if it has one.
    func backward(_ dProduct: Matrix, hidden: Matrix, dHidden: Matrix?, learns: Bool) {
        products.multiplyBack(
            dProduct,
            x: hidden,
            dX: dHidden,
            gradient: learns ? gradient : nil
        )
    }
}

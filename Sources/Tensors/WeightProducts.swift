/// A large weight W [out, in], such as a head, in the three products of training: x W^T, the gradient by
/// x, and its own.
///
/// - float32: the first by oneDNN's blocked kernels and the second by its GEMM, which read W as it lies
///   and are faster than OpenBLAS; by OpenBLAS where they are missing or a matrix has gaps between its
///   rows. The third by OpenBLAS.
/// - bfloat16: all three by oneDNN with float32 sums. W is packed once for each direction, when first
///   needed; the gradient by the product is rounded once for both of its uses.
///
/// Every number of rows is one product, without padding.
public final class WeightProducts {
    /// [out, in]; `refresh` after every change of its numbers.
    public let weight: Matrix
    private let isBF16: Bool
    private var forward: PackedWeights?
    private var backward: PackedWeights?
    /// The weight has changed since it was packed.
    private var isForwardStale = false, isBackwardStale = false

    /// Packs nothing yet.
    ///
    /// - Parameter compute: bf16 falls back to f32 where the processor has no such instructions, and
    ///   for a weight with gaps between its rows.
    public init(_ weight: Matrix, compute: ComputeType) {
        self.weight = weight
        isBF16 = compute.available == .bf16 && weight.isContiguous && weight.count > 0
    }

    /// Takes note of changed numbers: packed copies are made anew, in their old place, when next needed.
    public func refresh() {
        isForwardStale = true
        isBackwardStale = true
    }

    /// out (rows, out) = x (rows, in) W^T.
    public func multiply(_ x: Matrix, into out: Matrix) {
        precondition(
            x.columns == weight.columns && out.columns == weight.rows && x.rows == out.rows,
            "shapes differ"
        )
        if isBF16, out.isContiguous {
            guard x.rows > 0 else { return }
            packedWeight(&forward, &isForwardStale, transposed: true)
                .multiplyWhole(RoundedMatrix(x), into: out)
            return
        }
        let isDone = runPlain(x, into: out, weights: .columns, wanted: "brg")
        if !isDone { Tensors.multiply(x, weight, transposeB: true, into: out) }
    }

    /// Takes the gradient by `x W^T` back.
    ///
    /// - Parameters:
    ///   - dOut: (rows, out); in bfloat16 its numbers are gone afterwards, for it is rounded in place.
    ///   - x: (rows, in).
    ///   - dX: (rows, in), overwritten with the gradient by x; nil where it is not wanted.
    ///   - gradient: [out, in], the weight's own gradient is added; nil where it is not wanted.
    public func multiplyBack(_ dOut: Matrix, x: Matrix, dX: Matrix?, gradient: Matrix?) {
        precondition(
            dOut.columns == weight.rows && x.rows == dOut.rows && x.columns == weight.columns,
            "shapes differ"
        )
        if isBF16, dOut.isContiguous {
            multiplyRoundedBack(dOut, x: x, dX: dX, gradient: gradient)
            return
        }
        if let dX {
            let isDone = runPlain(
                dOut,
                into: dX,
                weights: .rows,
                wanted: "gemm:jit"
            )
            if !isDone { Tensors.multiply(dOut, weight, into: dX) }
        }
        if let gradient {
            Tensors.multiply(dOut, transposeA: true, x, into: gradient, beta: 1)
        }
    }

    private func multiplyRoundedBack(
        _ dOut: Matrix,
        x: Matrix,
        dX: Matrix?,
        gradient: Matrix?
    ) {
        guard dX != nil || gradient != nil, dOut.rows > 0 else { return }
        let rounded = RoundedMatrix(replacing: dOut)
        if let dX {
            let packed = packedWeight(&backward, &isBackwardStale, transposed: false)
            let target = dX.isContiguous ? dX : Matrix(uninitialized: dX.rows, dX.columns)
            packed.multiplyWhole(rounded, into: target)
            if !dX.isContiguous { dX.assign(target) }
        }
        if let gradient { rounded.addTransposedProduct(RoundedMatrix(x), into: gradient) }
    }

    /// What is packed for one direction, with the numbers that the weight has now.
    private func packedWeight(
        _ known: inout PackedWeights?,
        _ isStale: inout Bool,
        transposed: Bool
    ) -> PackedWeights {
        let weights: PackedWeights
        if let known {
            weights = known
            if isStale { weights.repack(weight) }
        } else {
            weights = PackedWeights(weight, transposed: transposed, compute: .bf16)
            precondition(weights.isRounded, "oneDNN failed to pack a weight")
            known = weights
        }
        isStale = false
        return weights
    }

    /// The product with the weight as it lies, by oneDNN in float32.
    ///
    /// - Parameters:
    ///   - weights: How the product's right side lies.
    ///   - wanted: The implementation that is fast so.
    /// - Returns: False, and nothing is computed, where it has none for these matrices.
    private func runPlain(
        _ x: Matrix,
        into out: Matrix,
        weights: OneDNN.Shape.Weights,
        wanted: String
    ) -> Bool {
        guard let library = OneDNN.shared, x.isContiguous, out.isContiguous, weight.isContiguous,
            x.rows > 0, weight.count > 0
        else { return false }
        return library.run(
            OneDNN.Shape(
                m: x.rows,
                n: out.columns,
                k: x.columns,
                type: .f32,
                weights: weights,
                targetStride: out.columns
            ),
            wanted: wanted,
            source: x.base,
            weights: weight.base,
            target: out.base
        )
    }
}

/// The rows of one side of a product, rounded to bfloat16 once for all weights that they meet.
public struct ProductRows {
    /// Nil where the numbers were replaced by rounded ones.
    let plain: Matrix?
    /// Nil in float32, and for rows with gaps that are rounded in place.
    let rounded: RoundedMatrix?

    /// - Parameters:
    ///   - x: (rows, n); not copied for f32, so it must keep its numbers until the last product.
    ///   - compute: The precision of the weights that it meets.
    public init(_ x: Matrix, compute: ComputeType) {
        plain = x
        rounded = compute.available == .bf16 ? RoundedMatrix(x) : nil
    }

    /// Rows whose numbers are not needed otherwise: in bfloat16 they are rounded in place.
    ///
    /// - Parameter x: (rows, n), owned by these rows from now on.
    public init(replacing x: Matrix, compute: ComputeType) {
        let isReplaced = compute.available == .bf16 && x.isContiguous
        plain = isReplaced ? nil : x
        rounded = isReplaced ? RoundedMatrix(replacing: x) : nil
    }

    /// The number of rows.
    public var rowCount: Int { plain?.rows ?? rounded?.rows ?? 0 }
    /// The precision that the rows are ready for.
    public var compute: ComputeType { rounded == nil ? .f32 : .bf16 }
    var columns: Int { plain?.columns ?? rounded?.columns ?? 0 }
}

/// A weight in the three products of training: x W^T, the gradient by x, and its own.
///
/// Of a weight [in, out] the first is x W, and so on.
/// - float32: products with W as it lies, row by row or column by column, by oneDNN's GEMM or its blocked
///   kernels, which are faster than OpenBLAS; by OpenBLAS where they are missing or a matrix has gaps
///   between its rows. The gradient of W by OpenBLAS.
/// - bfloat16: all three by oneDNN with float32 sums. W is packed for each direction, once or for each
///   product; the gradient by the product is rounded once for both of its uses.
///
/// Every number of rows is one product, without padding.
public final class WeightProducts {
    /// How the weight lies.
    public enum Layout: Sendable {
        /// [out, in], PyTorch's Linear.
        case outputsFirst
        /// [in, out], GPT-2's Conv1D.
        case inputsFirst
    }

    /// `refresh` after every change of its numbers.
    public let weight: Matrix
    /// How the weight lies.
    public let layout: Layout
    /// The precision of the products.
    public let compute: ComputeType
    private let keepsPacked: Bool
    private var forward: PackedWeights?
    private var backward: PackedWeights?
    /// The weight has changed since it was packed.
    private var isForwardStale = false, isBackwardStale = false

    /// Packs nothing yet.
    ///
    /// - Parameters:
    ///   - compute: bf16 falls back to f32 where the processor has no such instructions, and for a weight
    ///     with gaps between its rows.
    ///   - keepsPacked: Whether packed copies stay until the numbers change. Where they change at every
    ///     step anyway, and a product has a thousand rows, packing for each takes a few hundredths of its
    ///     time and saves as much memory as the weight itself takes.
    public init(
        _ weight: Matrix,
        layout: Layout = .outputsFirst,
        compute: ComputeType,
        keepsPacked: Bool = true
    ) {
        self.keepsPacked = keepsPacked
        self.weight = weight
        self.layout = layout
        let isBF16 = compute.available == .bf16 && weight.isContiguous && weight.count > 0
        self.compute = isBF16 ? .bf16 : .f32
    }

    /// The number of outputs.
    public var outputs: Int { layout == .outputsFirst ? weight.rows : weight.columns }
    /// The number of inputs.
    public var inputs: Int { layout == .outputsFirst ? weight.columns : weight.rows }

    /// Takes note of changed numbers: packed copies are made anew, in their old place, when next needed.
    public func refresh() {
        isForwardStale = true
        isBackwardStale = true
    }

    /// out (rows, out) = x (rows, in) times the weight.
    public func multiply(_ x: Matrix, into out: Matrix) {
        // Where the result has gaps the product is one in float32, from the numbers themselves.
        multiply(ProductRows(x, compute: out.isContiguous ? compute : .f32), into: out)
    }

    /// out (rows, out) = x (rows, in) times the weight, or added to `out` when `accumulate`.
    public func multiply(_ x: ProductRows, into out: Matrix, accumulate: Bool = false) {
        precondition(
            x.columns == inputs && out.columns == outputs && x.rowCount == out.rows,
            "shapes differ"
        )
        product(x, goesBack: false, into: out, accumulate)
    }

    /// Takes the gradient by the product back.
    ///
    /// - Parameters:
    ///   - dOut: (rows, out); in bfloat16 its numbers are gone afterwards, for it is rounded in place.
    ///   - x: (rows, in).
    ///   - dX: (rows, in), overwritten with the gradient by x; nil where it is not wanted.
    ///   - gradient: Of the weight's shape: its own gradient is added; nil where it is not wanted.
    public func multiplyBack(_ dOut: Matrix, x: Matrix, dX: Matrix?, gradient: Matrix?) {
        guard dX != nil || gradient != nil, dOut.rows > 0 else { return }
        let rows = ProductRows(replacing: dOut, compute: compute)
        if let dX { multiplyBack(rows, into: dX) }
        if let gradient {
            addGradient(
                rows,
                x: ProductRows(x, compute: rows.compute),
                to: gradient
            )
        }
    }

    /// dX (rows, in) = the gradient by the input given dOut (rows, out), or added when `accumulate`.
    public func multiplyBack(_ dOut: ProductRows, into dX: Matrix, accumulate: Bool = false) {
        precondition(
            dOut.columns == outputs && dX.columns == inputs && dOut.rowCount == dX.rows,
            "shapes differ"
        )
        product(dOut, goesBack: true, into: dX, accumulate)
    }

    /// Adds the weight's own gradient, given dOut (rows, out) and x (rows, in), to `gradient`.
    public func addGradient(_ dOut: ProductRows, x: ProductRows, to gradient: Matrix) {
        precondition(
            dOut.columns == outputs && x.columns == inputs && dOut.rowCount == x.rowCount
                && gradient.rows == weight.rows && gradient.columns == weight.columns,
            "shapes differ"
        )
        let (left, right) = layout == .outputsFirst ? (dOut, x) : (x, dOut)
        if let left = left.rounded, let right = right.rounded {
            left.addTransposedProduct(right, into: gradient)
        } else if let left = left.plain, let right = right.plain {
            Tensors.multiply(left, transposeA: true, right, into: gradient, beta: 1)
        } else {
            preconditionFailure("rows of two precisions")
        }
    }

    /// The product with the weight or, on the way back, its transpose.
    private func product(
        _ x: ProductRows,
        goesBack: Bool,
        into out: Matrix,
        _ accumulate: Bool
    ) {
        guard out.count > 0 else { return }
        if compute == .bf16, let rounded = x.rounded {
            let packed = packedWeight(goesBack: goesBack)
            let target = out.isContiguous ? out : Matrix(uninitialized: out.rows, out.columns)
            if !out.isContiguous && accumulate { target.assign(out) }
            packed.multiplyWhole(rounded, into: target, accumulate: accumulate)
            if !keepsPacked { packed.release() }
            if !out.isContiguous { out.assign(target) }
            return
        }
        guard let plain = x.plain else { preconditionFailure("rounded rows, float32 weights") }
        let transposes = (layout == .outputsFirst) != goesBack
        let isDone = runPlain(plain, into: out, transposes: transposes, accumulate)
        guard !isDone else { return }
        let beta: Float = accumulate ? 1 : 0
        Tensors.multiply(plain, weight, transposeB: transposes, into: out, beta: beta)
    }

    /// What is packed for one direction, with the numbers that the weight has now.
    private func packedWeight(goesBack: Bool) -> PackedWeights {
        let transposed = (layout == .outputsFirst) != goesBack
        return goesBack
            ? packedWeight(&backward, &isBackwardStale, transposed: transposed)
            : packedWeight(&forward, &isForwardStale, transposed: transposed)
    }

    private func packedWeight(
        _ known: inout PackedWeights?,
        _ isStale: inout Bool,
        transposed: Bool
    ) -> PackedWeights {
        let weights: PackedWeights
        if let known {
            weights = known
            if isStale || !keepsPacked { weights.repack(weight) }
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
    /// - Parameter transposes: The weight's rows are the columns of the product's right side.
    /// - Returns: False, and nothing is computed, where it has none for these matrices.
    private func runPlain(
        _ x: Matrix,
        into out: Matrix,
        transposes: Bool,
        _ accumulate: Bool
    ) -> Bool {
        guard let library = OneDNN.shared, x.isContiguous, out.isContiguous, weight.isContiguous
        else { return false }
        return library.run(
            OneDNN.Shape(
                m: x.rows,
                n: out.columns,
                k: x.columns,
                type: .f32,
                weights: transposes ? .columns : .rows,
                targetStride: out.columns,
                accumulates: accumulate
            ),
            // The implementations that are fast so.
            wanted: transposes ? "brg" : "gemm:jit",
            source: x.base,
            weights: weight.base,
            target: out.base
        )
    }
}

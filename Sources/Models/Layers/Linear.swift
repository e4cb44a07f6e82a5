import CKernels
import Tensors

/// What goes into one or several linear maps: its rows are rounded once for all of them.
struct LinearInput {
    /// (rows, in); must keep its numbers until the last product.
    let matrix: Matrix
    /// The same, ready for the products of training; nil for inference.
    fileprivate let rows: ProductRows?
    /// What the masks of dropout are made from; nil where nothing is dropped.
    let noise: UInt64?

    /// - Parameter linear: One of those that it goes into, all prepared alike.
    init(_ x: Matrix, for linear: Linear, noise: UInt64? = nil) {
        matrix = x
        rows = linear.products.map { ProductRows(x, compute: $0.compute) }
        self.noise = noise
    }
}

/// y = x W + b, the weight kept as its checkpoint has it; in training with a low-rank addition if it has
/// one.
public final class Linear {
    /// How the checkpoint lays the weight out.
    typealias Layout = WeightProducts.Layout

    let weight: Parameter
    let bias: Parameter?
    let layout: Layout
    /// The low-rank addition that is trained in the weight's place.
    var lora: LoraFactors?
    private var packed: PackedWeights?
    /// The products of training.
    fileprivate private(set) var products: WeightProducts?

    init(weight: Parameter, bias: Parameter? = nil, layout: Layout = .outputsFirst) {
        self.weight = weight
        self.bias = bias
        self.layout = layout
    }

    var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
    var outputs: Int { layout == .outputsFirst ? weight.value.rows : weight.value.columns }
    var inputs: Int { layout == .outputsFirst ? weight.value.columns : weight.value.rows }

    /// Makes the weight ready for many products, for inference alone.
    ///
    /// Call again after the weight has changed.
    func pack(_ compute: ComputeType) {
        // Training has its own.
        guard products == nil else { return }
        packed =
            compute.available == .f32
            ? nil
            : PackedWeights(weight.value, transposed: layout == .outputsFirst, compute: compute)
    }

    /// Makes the weight ready for training, once it has its gradient if it is trained.
    func prepareTraining(_ compute: ComputeType) {
        packed = nil
        products = WeightProducts(
            weight.value,
            layout: layout,
            compute: compute,
            keepsPacked: weight.gradient == nil
        )
        lora?.prepareTraining(compute)
    }

    /// Takes note of changed numbers.
    func weightsChanged() {
        if weight.gradient != nil { products?.refresh() }
        lora?.weightsChanged()
    }

    /// (rows, in) -> (rows, out).
    func callAsFunction(_ x: LinearInput) -> Matrix {
        let out = Matrix(uninitialized: x.matrix.rows, outputs)
        self(x, into: out, accumulate: false)
        return out
    }

    /// Writes the product to `out` (rows, out), or adds it.
    func callAsFunction(_ x: LinearInput, into out: Matrix, accumulate: Bool) {
        if let products, let rows = x.rows {
            products.multiply(rows, into: out, accumulate: accumulate)
            lora?.add(x.matrix, rows, noise: x.noise, to: out)
        } else if let packed {
            packed.multiply(x.matrix, into: out, accumulate: accumulate)
        } else {
            multiply(
                x.matrix,
                weight.value,
                transposeB: layout == .outputsFirst,
                into: out,
                beta: accumulate ? 1 : 0
            )
        }
        guard let bias = bias?.value else { return }
        parallelRanges(out.rows, minimum: 32) { range, _ in
            ck_add_bias(
                out.row(range.lowerBound),
                bias.base,
                range.count,
                out.columns,
                out.stride
            )
        }
    }

    /// Adds to the gradients of weight, bias and low-rank addition, and gives that of the input.
    ///
    /// - Parameters:
    ///   - gradient: (rows, out); its numbers are gone afterwards when `consumes`.
    ///   - x: (rows, in), the input of the forward pass.
    ///   - target: (rows, in); written, or added to when `accumulate`.
    /// - Precondition: `prepareTraining` was called.
    func backward(
        _ gradient: Matrix,
        consumes: Bool = true,
        input x: LinearInput,
        into target: Matrix,
        accumulate: Bool = false
    ) {
        guard let products, let inputs = x.rows else {
            preconditionFailure("backward of a layer that was not prepared for training")
        }
        if let sums = bias?.gradient {
            parallelRanges(gradient.columns, minimum: 128) { range, _ in
                ck_column_sums(
                    gradient.base + range.lowerBound,
                    sums.base + range.lowerBound,
                    gradient.rows,
                    range.count,
                    gradient.stride
                )
            }
        }
        let rows =
            consumes
            ? ProductRows(replacing: gradient, compute: products.compute)
            : ProductRows(gradient, compute: products.compute)
        if let sum = weight.gradient { products.addGradient(rows, x: inputs, to: sum) }
        products.multiplyBack(rows, into: target, accumulate: accumulate)
        lora?.backward(rows, input: x.matrix, inputs, noise: x.noise, addingTo: target)
    }
}

import CKernels
import Tensors

/// y = x W + b, the weight kept as its checkpoint has it.
final class Linear {
    /// How the checkpoint lays the weight out.
    enum Layout {
        /// [out, in], PyTorch's Linear.
        case outputsFirst
        /// [in, out], GPT-2's Conv1D.
        case inputsFirst
    }

    let weight: Parameter
    let bias: Parameter?
    let layout: Layout
    private var packed: PackedWeights?

    init(weight: Parameter, bias: Parameter? = nil, layout: Layout = .outputsFirst) {
        self.weight = weight
        self.bias = bias
        self.layout = layout
    }

    var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
    var outputs: Int { layout == .outputsFirst ? weight.value.rows : weight.value.columns }

    /// Makes the weight ready for many products.
    ///
    /// Call again after the weight has changed.
    func pack(_ compute: ComputeType) {
        packed =
            compute.available == .f32
            ? nil
            : PackedWeights(weight.value, transposed: layout == .outputsFirst, compute: compute)
    }

    /// (rows, in) -> (rows, out).
    func callAsFunction(_ x: Matrix) -> Matrix {
        let out = Matrix(uninitialized: x.rows, outputs)
        self(x, into: out, accumulate: false)
        return out
    }

    /// Writes the product to `out` (rows, out), or adds it.
    func callAsFunction(_ x: Matrix, into out: Matrix, accumulate: Bool) {
        if let packed {
            packed.multiply(x, into: out, accumulate: accumulate)
        } else {
            multiply(
                x,
                weight.value,
                transposeB: layout == .outputsFirst,
                into: out,
                beta: accumulate ? 1 : 0
            )
        }
        if let bias {
            ck_add_bias(out.base, bias.value.base, out.rows, out.columns, out.stride)
        }
    }

    /// Adds to the gradients of weight and bias, and gives that of the input.
    ///
    /// - Parameters:
    ///   - gradient: (rows, out).
    ///   - x: (rows, in), the input of the forward pass.
    ///   - target: (rows, in); written, or added to when `accumulate`.
    func backward(
        _ gradient: Matrix,
        input x: Matrix,
        into target: Matrix,
        accumulate: Bool = false
    ) {
        if let sum = weight.gradient {
            if layout == .outputsFirst {
                multiply(gradient, transposeA: true, x, into: sum, beta: 1)
            } else {
                multiply(x, transposeA: true, gradient, into: sum, beta: 1)
            }
        }
        if let sum = bias?.gradient {
            ck_column_sums(
                gradient.base,
                sum.base,
                gradient.rows,
                gradient.columns,
                gradient.stride
            )
        }
        multiply(
            gradient,
            weight.value,
            transposeB: layout == .inputsFirst,
            into: target,
            beta: accumulate ? 1 : 0
        )
    }
}

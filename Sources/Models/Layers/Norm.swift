import CKernels
import Tensors

/// Normalisation of each row: RMSNorm (Zhang and Sennrich 2019) or LayerNorm (Ba and others 2016).
final class Norm {
    let weight: Parameter
    /// LayerNorm has one, RMSNorm does not.
    let bias: Parameter?
    let epsilon: Float

    init(weight: Parameter, bias: Parameter? = nil, epsilon: Float) {
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }

    var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// (rows, n) -> (rows, n).
    func callAsFunction(_ x: Matrix) -> Matrix {
        let out = Matrix(uninitialized: x.rows, x.columns)
        let n = x.columns
        let weight = weight.value
        let bias = bias?.value
        let epsilon = epsilon
        parallelRanges(x.rows, minimum: 64) { range, _ in
            if let bias {
                ck_layer_norm(
                    x.row(range.lowerBound),
                    weight.base,
                    bias.base,
                    out.row(range.lowerBound),
                    range.count,
                    n,
                    epsilon
                )
            } else {
                ck_rms_norm(
                    x.row(range.lowerBound),
                    weight.base,
                    out.row(range.lowerBound),
                    range.count,
                    n,
                    epsilon
                )
            }
        }
        return out
    }

    /// Adds to `target` (rows, n) the gradient of the input, and to those of weight and bias.
    func backward(_ gradient: Matrix, input x: Matrix, into target: Matrix) {
        let n = x.columns
        let epsilon = epsilon
        let weight = weight.value
        let hasBias = bias != nil
        // Each worker sums into rows of its own; they are added in order, so the result is fixed.
        let weightSums = Matrix(zeros: Threads.count, n)
        let biasSums = Matrix(zeros: Threads.count, n)
        parallelRanges(x.rows, minimum: 64) { range, worker in
            if hasBias {
                ck_layer_norm_backward(
                    x.row(range.lowerBound),
                    weight.base,
                    gradient.row(range.lowerBound),
                    target.row(range.lowerBound),
                    weightSums.row(worker),
                    biasSums.row(worker),
                    range.count,
                    n,
                    epsilon
                )
            } else {
                ck_rms_norm_backward(
                    x.row(range.lowerBound),
                    weight.base,
                    gradient.row(range.lowerBound),
                    target.row(range.lowerBound),
                    weightSums.row(worker),
                    range.count,
                    n,
                    epsilon
                )
            }
        }
        if let sum = self.weight.gradient {
            ck_column_sums(weightSums.base, sum.base, weightSums.rows, n, n)
        }
        if let sum = bias?.gradient {
            ck_column_sums(biasSums.base, sum.base, biasSums.rows, n, n)
        }
    }
}

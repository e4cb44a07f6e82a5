import CKernels
import Tensors

/// Normalisation of each row: RMSNorm (Zhang and Sennrich 2019) or LayerNorm (Ba and others 2016).
final class Norm {
    let weight: Parameter
    /// LayerNorm has one, RMSNorm does not.
    let bias: Parameter?
    let epsilon: Float
    /// Added to RMSNorm's weight: Gemma keeps it as its distance from 1.
    let offset: Float

    init(weight: Parameter, bias: Parameter? = nil, epsilon: Float, offset: Float = 0) {
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
        self.offset = offset
    }

    var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// (rows, n) -> (rows, n).
    func callAsFunction(_ x: Matrix) -> Matrix {
        let out = Matrix(uninitialized: x.rows, x.columns)
        let n = x.columns
        let weight = weight.value
        let bias = bias?.value
        let (epsilon, offset) = (epsilon, offset)
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
                    epsilon,
                    offset
                )
            }
        }
        return out
    }

    /// Normalises stretches of the rows as long as the weight: each head of (T, heads * headSize), or
    /// the whole width.
    func stretches(_ x: Matrix) -> Matrix {
        let n = weight.value.columns
        return self(x.reshaped(x.count / n, n)).reshaped(x.rows, x.columns)
    }

    /// The gradient (T, width) of the input of `stretches`.
    func backwardStretches(_ gradient: Matrix, input x: Matrix) -> Matrix {
        let n = weight.value.columns
        let result = Matrix(zeros: x.rows, x.columns)
        backward(
            gradient.reshaped(x.count / n, n),
            input: x.reshaped(x.count / n, n),
            into: result.reshaped(x.count / n, n)
        )
        return result
    }

    /// Adds to `target` (rows, n) the gradient of the input, and to those of weight and bias.
    func backward(_ gradient: Matrix, input x: Matrix, into target: Matrix) {
        let n = x.columns
        let (epsilon, offset) = (epsilon, offset)
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
                    epsilon,
                    offset
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

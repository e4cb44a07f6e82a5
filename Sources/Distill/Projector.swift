import CKernels
import Models
import Tensors

/// A linear map with bias between the two models' spaces, with a learning rate of its own.
public final class Projector {
    /// [out, in], named `<name>.weight`.
    public let weight: Parameter
    /// [out], named `<name>.bias`.
    public let bias: Parameter

    /// Both start uniform in +-1/sqrt(in), as PyTorch's Linear does.
    ///
    /// - Parameters:
    ///   - name: `t2s`, `s2t` or `query`: the purpose that its random numbers are drawn for.
    ///   - seed: The run's seed.
    public init(name: String, inputs: Int, outputs: Int, seed: UInt64) {
        weight = Parameter(name: "\(name).weight", zeros: [outputs, inputs])
        bias = Parameter(name: "\(name).bias", zeros: [outputs])
        var random = RandomNumbers(seed: seed, purpose: "projector \(name)")
        let bound = 1 / Float(max(1, inputs)).squareRoot()
        weight.value.fillUniform(bound: bound, using: &random)
        bias.value.fillUniform(bound: bound, using: &random)
        weight.prepareGradient()
        bias.prepareGradient()
    }

    /// Weight and bias.
    public var parameters: [Parameter] { [weight, bias] }

    /// (rows, in) -> (rows, out).
    func apply(_ x: Matrix) -> Matrix {
        let out = Matrix(uninitialized: x.rows, weight.value.rows)
        multiply(x, weight.value, transposeB: true, into: out)
        ck_add_bias(out.base, bias.value.base, out.rows, out.columns, out.stride)
        return out
    }

    /// Adds to the gradients of weight and bias, and to dX (rows, in) where it is given.
    func backward(_ x: Matrix, dOut: Matrix, dX: Matrix? = nil) {
        if let gradient = weight.gradient {
            multiply(dOut, transposeA: true, x, into: gradient, beta: 1)
        }
        if let gradient = bias.gradient {
            ck_column_sums(dOut.base, gradient.base, dOut.rows, dOut.columns, dOut.stride)
        }
        if let dX { multiply(dOut, weight.value, into: dX, beta: 1) }
    }
}

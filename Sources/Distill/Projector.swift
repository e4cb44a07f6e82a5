import CKernels
import Models
import Tensors

/// A map between the two models' spaces, with a learning rate of its own: linear, or several linear
/// maps with what is below zero cut off between them.
public final class Projector {
    /// One step: a linear map, or a cut below zero.
    private struct Step {
        /// [out, in]; nil for the cut.
        let weight: Parameter?
        /// [out]; nil where the map has none.
        let bias: Parameter?
    }

    /// `t2s`, `s2t` or `query`.
    public let name: String
    private let steps: [Step]

    /// All start uniform in +-1/sqrt(in), as PyTorch's Linear does.
    ///
    /// A single map's weight is named `<name>.weight`; those of several `<name>.0.weight`, …, counted over
    /// all steps as PyTorch's Sequential does.
    ///
    /// - Parameters:
    ///   - name: The purpose that its random numbers are drawn for.
    ///   - seed: The run's seed.
    public init(name: String, structure: ProjectorStructure, hasBias: Bool = true, seed: UInt64) {
        self.name = name
        var random = RandomNumbers(seed: seed, purpose: "projector \(name)")
        let isSingle = structure.steps.count == 1
        steps = structure.steps.enumerated().map { index, step in
            guard case .linear(let inputs, let outputs) = step else {
                return Step(weight: nil, bias: nil)
            }
            let prefix = isSingle ? name : "\(name).\(index)"
            let weight = Parameter(name: "\(prefix).weight", zeros: [outputs, inputs])
            let bias = hasBias ? Parameter(name: "\(prefix).bias", zeros: [outputs]) : nil
            let bound = 1 / Float(max(1, inputs)).squareRoot()
            for parameter in [weight, bias].compactMap({ $0 }) {
                parameter.value.fillUniform(bound: bound, using: &random)
                parameter.prepareGradient()
            }
            return Step(weight: weight, bias: bias)
        }
    }

    /// Weights and biases, in the order of the steps.
    public var parameters: [Parameter] {
        steps.flatMap { [$0.weight, $0.bias].compactMap { $0 } }
    }

    /// The weight of a single map.
    var weight: Parameter? { steps.count == 1 ? steps[0].weight : nil }

    /// What a pass leaves for the way back.
    struct Pass {
        /// What goes into each step, and what comes out of the last.
        fileprivate var states: [Matrix]
        /// (rows, out).
        var out: Matrix { states[states.count - 1] }
    }

    /// (rows, in) -> (rows, out).
    func apply(_ x: Matrix) -> Pass {
        var states = [x]
        for step in steps {
            let input = states[states.count - 1]
            guard let weight = step.weight else {
                let out = input.copied()
                for row in 0..<out.rows {
                    let values = out.row(row)
                    for i in 0..<out.columns { values[i] = max(0, values[i]) }
                }
                states.append(out)
                continue
            }
            let out = Matrix(uninitialized: input.rows, weight.value.rows)
            multiply(input, weight.value, transposeB: true, into: out)
            if let bias = step.bias {
                ck_add_bias(out.base, bias.value.base, out.rows, out.columns, out.stride)
            }
            states.append(out)
        }
        return Pass(states: states)
    }

    /// Adds to the gradients of weights and biases, and to dX (rows, in) where it is given.
    func backward(_ pass: Pass, dOut: Matrix, dX: Matrix? = nil) {
        var gradient = dOut
        for (index, step) in steps.enumerated().reversed() {
            let (input, isFirst) = (pass.states[index], index == 0)
            guard let weight = step.weight else {
                // Made by the step above, so it is ours to change.
                for row in 0..<gradient.rows {
                    let (d, x) = (gradient.row(row), input.row(row))
                    for i in 0..<gradient.columns where x[i] <= 0 { d[i] = 0 }
                }
                continue
            }
            if let sum = weight.gradient {
                multiply(gradient, transposeA: true, input, into: sum, beta: 1)
            }
            if let sum = step.bias?.gradient {
                let (rows, columns) = (gradient.rows, gradient.columns)
                ck_column_sums(gradient.base, sum.base, rows, columns, gradient.stride)
            }
            if isFirst {
                if let dX { multiply(gradient, weight.value, into: dX, beta: 1) }
            } else {
                let below = Matrix(uninitialized: input.rows, input.columns)
                multiply(gradient, weight.value, into: below)
                gradient = below
            }
        }
    }
}

import Tensors

/// The feed-forward layer: up to the intermediate size, a non-linearity, back down.
final class FeedForward: BlockLayer {
    /// The projections up.
    enum Expansion {
        /// activation(up): GPT-2, GPT-NeoX.
        case plain(up: Linear)
        /// activation(gate) * up (Shazeer 2020): Llama and most others.
        case gated(gate: Linear, up: Linear)
        /// The same from one product, gate first: Phi-3.
        case fused(gateUp: Linear)
    }

    private let expansion: Expansion
    private let down: Linear
    private let activation: ModelConfiguration.Activation

    init(_ expansion: Expansion, down: Linear, _ activation: ModelConfiguration.Activation) {
        self.expansion = expansion
        self.down = down
        self.activation = activation
    }

    var linears: [Linear] {
        switch expansion {
        case .plain(let up): [up, down]
        case .gated(let gate, let up): [gate, up, down]
        case .fused(let both): [both, down]
        }
    }

    var parameters: [Parameter] { linears.flatMap(\.parameters) }

    func forward(_ x: Matrix, into target: Matrix, accumulate: Bool, _ context: BlockContext) {
        let activated: Matrix
        // Without a tape the result takes the place of its input, where that lies end to end.
        func place(_ input: Matrix) -> Matrix {
            context.tape == nil && input.isContiguous
                ? input : Matrix(uninitialized: input.rows, input.columns)
        }
        switch expansion {
        case .plain(let up):
            let up = up(LinearInput(x, for: up, noise: context.noise))
            activated = place(up)
            activation.apply(up, into: activated)
            context.keep("feedForward.up", up)
        case .gated, .fused:
            let (gate, up) = gateAndUp(LinearInput(x, for: down, noise: context.noise))
            activated = place(gate)
            activation.apply(gate: gate, up: up, into: activated)
            context.keep("feedForward.gate", gate)
            context.keep("feedForward.up", up)
        }
        down(
            LinearInput(activated, for: down, noise: context.noise),
            into: target,
            accumulate: accumulate
        )
    }

    private func gateAndUp(_ x: LinearInput) -> (gate: Matrix, up: Matrix) {
        switch expansion {
        case .plain: preconditionFailure("a feed-forward layer without a gate")
        case .gated(let gate, let up): (gate(x), up(x))
        case .fused(let both): halves(both(x))
        }
    }

    /// What went into the last map in the pass that the context's tape is of, computed again: that costs less
    /// than the memory to keep it.
    func activated(_ context: BlockContext) -> Matrix {
        let up = context.kept("feedForward.up")
        let activated = Matrix(uninitialized: up.rows, up.columns)
        switch expansion {
        case .plain: activation.apply(up, into: activated)
        case .gated, .fused:
            activation.apply(gate: context.kept("feedForward.gate"), up: up, into: activated)
        }
        return activated
    }

    private func halves(_ both: Matrix) -> (Matrix, Matrix) {
        let half = both.columns / 2
        return (both.slice(columns: 0..<half), both.slice(columns: half..<both.columns))
    }

    func backward(
        _ gradient: Matrix,
        input x: Matrix,
        into target: Matrix,
        accumulate: Bool,
        _ context: BlockContext
    ) {
        let input = LinearInput(x, for: down, noise: context.noise)
        let up = context.kept("feedForward.up")
        let dActivated = Matrix(uninitialized: up.rows, up.columns)
        down.backward(
            gradient,
            consumes: false,
            input: LinearInput(activated(context), for: down, noise: context.noise),
            into: dActivated
        )
        switch expansion {
        case .plain(let projection):
            activation.backward(dActivated, input: up)
            projection.backward(dActivated, input: input, into: target, accumulate: accumulate)
        case .gated(let gateProjection, let upProjection):
            let dUp = Matrix(uninitialized: up.rows, up.columns)
            activation.backward(
                dActivated,
                gate: context.kept("feedForward.gate"),
                up: up,
                dGate: dActivated,
                dUp: dUp
            )
            gateProjection.backward(dActivated, input: input, into: target, accumulate: accumulate)
            upProjection.backward(dUp, input: input, into: target, accumulate: true)
        case .fused(let projection):
            let both = Matrix(uninitialized: up.rows, 2 * up.columns)
            let (dGate, dUp) = halves(both)
            activation.backward(
                dActivated,
                gate: context.kept("feedForward.gate"),
                up: up,
                dGate: dGate,
                dUp: dUp
            )
            projection.backward(both, input: input, into: target, accumulate: accumulate)
        }
    }
}

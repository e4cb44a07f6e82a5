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

    private var linears: [Linear] {
        switch expansion {
        case .plain(let up): [up, down]
        case .gated(let gate, let up): [gate, up, down]
        case .fused(let both): [both, down]
        }
    }

    var parameters: [Parameter] { linears.flatMap(\.parameters) }

    func pack(_ compute: ComputeType) {
        for linear in linears { linear.pack(compute) }
    }

    func forward(_ x: Matrix, into target: Matrix, accumulate: Bool, _ context: BlockContext) {
        let activated: Matrix
        // Without a tape the result takes the place of its input, where that lies end to end.
        func place(_ input: Matrix) -> Matrix {
            context.tape == nil && input.isContiguous
                ? input : Matrix(uninitialized: input.rows, input.columns)
        }
        switch expansion {
        case .plain(let up):
            let up = up(x)
            activated = place(up)
            activation.apply(up, into: activated)
            context.keep("feedForward.up", up)
        case .gated, .fused:
            let (gate, up) = gateAndUp(x)
            activated = place(gate)
            activation.apply(gate: gate, up: up, into: activated)
            context.keep("feedForward.gate", gate)
            context.keep("feedForward.up", up)
        }
        down(activated, into: target, accumulate: accumulate)
        context.keep("feedForward.input", x)
        context.keep("feedForward.activated", activated)
    }

    private func gateAndUp(_ x: Matrix) -> (gate: Matrix, up: Matrix) {
        switch expansion {
        case .plain: preconditionFailure("a feed-forward layer without a gate")
        case .gated(let gate, let up): (gate(x), up(x))
        case .fused(let both): halves(both(x))
        }
    }

    private func halves(_ both: Matrix) -> (Matrix, Matrix) {
        let half = both.columns / 2
        return (both.slice(columns: 0..<half), both.slice(columns: half..<both.columns))
    }

    func backward(
        _ gradient: Matrix,
        into target: Matrix,
        accumulate: Bool,
        _ context: BlockContext
    ) {
        let x = context.kept("feedForward.input")
        let up = context.kept("feedForward.up")
        let activated = context.kept("feedForward.activated")
        let dActivated = Matrix(uninitialized: activated.rows, activated.columns)
        down.backward(gradient, input: activated, into: dActivated)
        switch expansion {
        case .plain(let projection):
            activation.backward(dActivated, input: up)
            projection.backward(dActivated, input: x, into: target, accumulate: accumulate)
        case .gated(let gateProjection, let upProjection):
            let dUp = Matrix(uninitialized: up.rows, up.columns)
            activation.backward(
                dActivated,
                gate: context.kept("feedForward.gate"),
                up: up,
                dGate: dActivated,
                dUp: dUp
            )
            gateProjection.backward(dActivated, input: x, into: target, accumulate: accumulate)
            upProjection.backward(dUp, input: x, into: target, accumulate: true)
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
            projection.backward(both, input: x, into: target, accumulate: accumulate)
        }
    }
}

import Tensors

/// Attention with its projections: to queries, keys and values, their norms and positions where a
/// model has them, softmax attention, and the projection back.
final class SelfAttention: BlockLayer {
    /// The projections to queries, keys and values.
    enum Projections {
        /// One each.
        case separate(q: Linear, k: Linear, v: Linear)
        /// One product: all queries, then all keys, then all values (GPT-2, Phi-3).
        case fused(Linear)
        /// One product: query, key and value of the first head, then of the second (GPT-NeoX).
        case interleaved(Linear)
    }

    private let projections: Projections
    private let output: Linear
    // Before positions enter, over each head or the whole width, as the size of their weight says. With
    // separate projections only.
    private let queryNorm: Norm?
    private let keyNorm: Norm?
    private let rotary: Rotary?
    private let attention: Attention

    init(
        _ c: ModelConfiguration,
        layer: Int,
        _ projections: Projections,
        output: Linear,
        queryNorm: Norm? = nil,
        keyNorm: Norm? = nil,
        rotary: Rotary?
    ) {
        self.projections = projections
        self.output = output
        self.queryNorm = queryNorm
        self.keyNorm = keyNorm
        self.rotary = rotary
        if case .interleaved = projections {
            attention = Attention(c, layer: layer, headStep: 3 * c.headSize)
        } else {
            attention = Attention(c, layer: layer)
        }
    }

    var linears: [Linear] {
        switch projections {
        case .separate(let q, let k, let v): [q, k, v, output]
        case .fused(let all), .interleaved(let all): [all, output]
        }
    }

    var parameters: [Parameter] {
        (queryNorm?.parameters ?? []) + (keyNorm?.parameters ?? [])
            + linears.flatMap(\.parameters)
    }

    func forward(_ x: Matrix, into target: Matrix, accumulate: Bool, _ context: BlockContext) {
        var q: Matrix
        var k: Matrix
        let v: Matrix
        let input = LinearInput(x, for: output, noise: context.noise)
        switch projections {
        case .separate(let toQueries, let toKeys, let toValues):
            (q, k, v) = (toQueries(input), toKeys(input), toValues(input))
        case .fused(let all), .interleaved(let all):
            (q, k, v) = parts(all(input))
        }
        if let queryNorm {
            context.keep("attention.plainQ", q)
            q = queryNorm.stretches(q)
        }
        if let keyNorm {
            context.keep("attention.plainK", k)
            k = keyNorm.stretches(k)
        }
        turn(q, k, context)
        let attended = context.attend(attention, q, k, v)
        output(
            LinearInput(attended, for: output, noise: context.noise),
            into: target,
            accumulate: accumulate
        )
        for (name, matrix) in [("q", q), ("k", k), ("v", v), ("attended", attended)] {
            context.keep("attention.\(name)", matrix)
        }
    }

    /// The views of a fused product, or of its gradient.
    private func parts(_ fused: Matrix) -> (q: Matrix, k: Matrix, v: Matrix) {
        let size = attention.headSize
        let (wide, narrow) = (attention.headCount * size, attention.keyValueHeadCount * size)
        if case .interleaved = projections {
            return (
                fused, fused.slice(columns: size..<(3 * wide)),
                fused.slice(columns: (2 * size)..<(3 * wide))
            )
        }
        return (
            fused.slice(columns: 0..<wide), fused.slice(columns: wide..<(wide + narrow)),
            fused.slice(columns: (wide + narrow)..<(wide + 2 * narrow))
        )
    }

    private func turn(_ q: Matrix, _ k: Matrix, _ context: BlockContext, inverse: Bool = false) {
        guard let rotary else { return }
        for (x, heads) in [(q, attention.headCount), (k, attention.keyValueHeadCount)] {
            rotary.apply(
                x,
                heads: heads,
                headStep: attention.headStep,
                context,
                inverse: inverse
            )
        }
    }

    func backward(
        _ gradient: Matrix,
        input x: Matrix,
        into target: Matrix,
        accumulate: Bool,
        _ context: BlockContext
    ) {
        let input = LinearInput(x, for: output, noise: context.noise)
        let attended = context.kept("attention.attended")
        let dAttended = Matrix(uninitialized: attended.rows, attended.columns)
        output.backward(
            gradient,
            consumes: false,
            input: LinearInput(attended, for: output, noise: context.noise),
            into: dAttended
        )
        switch projections {
        case .separate(let toQueries, let toKeys, let toValues):
            let (wide, narrow) = (toQueries.outputs, toKeys.outputs)
            var dq = Matrix(uninitialized: x.rows, wide)
            var dk = Matrix(uninitialized: x.rows, narrow)
            let dv = Matrix(uninitialized: x.rows, narrow)
            backward(dAttended, attended, dq, dk, dv, context)
            if let queryNorm {
                dq = queryNorm.backwardStretches(dq, input: context.kept("attention.plainQ"))
            }
            if let keyNorm {
                dk = keyNorm.backwardStretches(dk, input: context.kept("attention.plainK"))
            }
            toQueries.backward(dq, input: input, into: target, accumulate: accumulate)
            toKeys.backward(dk, input: input, into: target, accumulate: true)
            toValues.backward(dv, input: input, into: target, accumulate: true)
        case .fused(let all), .interleaved(let all):
            let fused = Matrix(uninitialized: x.rows, all.outputs)
            let (dq, dk, dv) = parts(fused)
            backward(dAttended, attended, dq, dk, dv, context)
            all.backward(fused, input: input, into: target, accumulate: accumulate)
        }
    }

    /// Through positions and softmax: writes the gradients of q, k and v before positions.
    private func backward(
        _ gradient: Matrix,
        _ attended: Matrix,
        _ dq: Matrix,
        _ dk: Matrix,
        _ dv: Matrix,
        _ context: BlockContext
    ) {
        attention.backward(
            gradient,
            q: context.kept("attention.q"),
            k: context.kept("attention.k"),
            v: context.kept("attention.v"),
            out: attended,
            logPartitions: context.kept("logPartitions"),
            offsets: context.offsets,
            dropout: context.attentionDropout,
            dq: dq,
            dk: dk,
            dv: dv
        )
        turn(dq, dk, context, inverse: true)
    }
}

import CKernels
import Tensors

/// Llama (Touvron and others 2023) and its relatives: pre-norm RMSNorm, rotary positions, grouped
/// queries, SwiGLU.
///
/// No biases.
struct Llama: Architecture {
    let configuration: ModelConfiguration
    private let rotary: Rotary

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        rotary = Rotary(configuration)
    }

    func tokenEmbedding(from source: any ParameterSource) throws -> Parameter {
        try source.parameter(
            "model.embed_tokens.weight",
            [configuration.vocabularySize, configuration.hiddenSize],
            .normal(0.02)
        )
    }

    func positionEmbedding(from source: any ParameterSource) -> Parameter? { nil }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        try LlamaBlock(index, configuration, rotary, source)
    }

    func finalNorm(from source: any ParameterSource) throws -> FinalNorm {
        FinalNorm(
            norm: Norm(
                weight: try source.parameter(
                    "model.norm.weight",
                    [configuration.hiddenSize],
                    .ones
                ),
                epsilon: configuration.normEpsilon
            )
        )
    }

    func head(from source: any ParameterSource) throws -> Parameter {
        try source.parameter(
            "lm_head.weight",
            [configuration.vocabularySize, configuration.hiddenSize],
            .normal(0.02)
        )
    }
}

private final class LlamaBlock: TransformerBlock {
    private let headCount: Int
    private let keyValueHeadCount: Int
    private let attention: Attention
    private let rotary: Rotary
    private let inputNorm: Norm
    private let queryProjection: Linear, keyProjection: Linear, valueProjection: Linear
    private let outputProjection: Linear
    private let postAttentionNorm: Norm
    private let gateProjection: Linear, upProjection: Linear, downProjection: Linear

    init(
        _ index: Int,
        _ c: ModelConfiguration,
        _ rotary: Rotary,
        _ source: any ParameterSource
    ) throws {
        let name = "model.layers.\(index)"
        let (d, wide, narrow) = (
            c.hiddenSize, c.headCount * c.headSize, c.keyValueHeadCount * c.headSize
        )
        func linear(_ part: String, _ outputs: Int, _ inputs: Int) throws -> Linear {
            Linear(
                weight: try source.parameter(
                    "\(name).\(part).weight",
                    [outputs, inputs],
                    .normal(0.02)
                )
            )
        }
        func norm(_ part: String) throws -> Norm {
            Norm(
                weight: try source.parameter("\(name).\(part).weight", [d], .ones),
                epsilon: c.normEpsilon
            )
        }
        headCount = c.headCount
        keyValueHeadCount = c.keyValueHeadCount
        attention = Attention(
            headCount: c.headCount,
            keyValueHeadCount: c.keyValueHeadCount,
            headSize: c.headSize
        )
        self.rotary = rotary
        inputNorm = try norm("input_layernorm")
        queryProjection = try linear("self_attn.q_proj", wide, d)
        keyProjection = try linear("self_attn.k_proj", narrow, d)
        valueProjection = try linear("self_attn.v_proj", narrow, d)
        outputProjection = try linear("self_attn.o_proj", d, wide)
        postAttentionNorm = try norm("post_attention_layernorm")
        gateProjection = try linear("mlp.gate_proj", c.intermediateSize, d)
        upProjection = try linear("mlp.up_proj", c.intermediateSize, d)
        downProjection = try linear("mlp.down_proj", d, c.intermediateSize)
    }

    private var linears: [Linear] {
        [
            queryProjection, keyProjection, valueProjection, outputProjection, gateProjection,
            upProjection, downProjection,
        ]
    }

    var parameters: [Parameter] {
        inputNorm.parameters + postAttentionNorm.parameters + linears.flatMap(\.parameters)
    }

    func pack(_ compute: ComputeType) {
        for linear in linears { linear.pack(compute) }
    }

    func forward(_ x: Matrix, _ context: BlockContext) {
        context.keep("input", context.tape == nil ? x : x.copied())
        let normed = inputNorm(x)
        let q = queryProjection(normed)
        let k = keyProjection(normed)
        let v = valueProjection(normed)
        rotary.apply(q, heads: headCount, positions: context.positions)
        rotary.apply(k, heads: keyValueHeadCount, positions: context.positions)
        let attended = context.attend(attention, q, k, v)
        outputProjection.add(attended, to: x)
        for (name, matrix) in [
            ("normed", normed), ("q", q), ("k", k), ("v", v), ("attended", attended),
        ] {
            context.keep(name, matrix)
        }

        context.keep("middle", context.tape == nil ? x : x.copied())
        let normedAgain = postAttentionNorm(x)
        let gate = gateProjection(normedAgain)
        let up = upProjection(normedAgain)
        let activated = context.tape == nil ? gate : Matrix(uninitialized: gate.rows, gate.columns)
        parallelRanges(gate.count, minimum: 1 << 14) { range, _ in
            let start = range.lowerBound
            ck_silu_mul(gate.base + start, up.base + start, activated.base + start, range.count)
        }
        downProjection.add(activated, to: x)
        for (name, matrix) in [
            ("normedAgain", normedAgain), ("gate", gate), ("up", up), ("activated", activated),
        ] {
            context.keep(name, matrix)
        }
    }

    func backward(_ x: Matrix, _ context: BlockContext) {
        let gate = context.kept("gate")
        let up = context.kept("up")
        let normedAgain = context.kept("normedAgain")
        let dActivated = Matrix(uninitialized: gate.rows, gate.columns)
        downProjection.backward(x, input: context.kept("activated"), into: dActivated)
        let dUp = Matrix(uninitialized: up.rows, up.columns)
        parallelRanges(gate.count, minimum: 1 << 14) { range, _ in
            let start = range.lowerBound
            ck_silu_mul_backward(
                gate.base + start,
                up.base + start,
                dActivated.base + start,
                dActivated.base + start,
                dUp.base + start,
                range.count
            )
        }
        let dNormed = Matrix(uninitialized: x.rows, x.columns)
        gateProjection.backward(dActivated, input: normedAgain, into: dNormed)
        upProjection.backward(dUp, input: normedAgain, into: dNormed, accumulate: true)
        postAttentionNorm.backward(dNormed, input: context.kept("middle"), into: x)

        let q = context.kept("q")
        let k = context.kept("k")
        let v = context.kept("v")
        let attended = context.kept("attended")
        let normed = context.kept("normed")
        let dAttended = Matrix(uninitialized: attended.rows, attended.columns)
        outputProjection.backward(x, input: attended, into: dAttended)
        let dq = Matrix(uninitialized: q.rows, q.columns)
        let dk = Matrix(uninitialized: k.rows, k.columns)
        let dv = Matrix(uninitialized: v.rows, v.columns)
        attention.backward(
            dAttended,
            q: q,
            k: k,
            v: v,
            out: attended,
            logPartitions: context.kept("logPartitions"),
            offsets: context.offsets,
            dq: dq,
            dk: dk,
            dv: dv
        )
        rotary.apply(dq, heads: headCount, positions: context.positions, inverse: true)
        rotary.apply(dk, heads: keyValueHeadCount, positions: context.positions, inverse: true)
        queryProjection.backward(dq, input: normed, into: dNormed)
        keyProjection.backward(dk, input: normed, into: dNormed, accumulate: true)
        valueProjection.backward(dv, input: normed, into: dNormed, accumulate: true)
        inputNorm.backward(dNormed, input: context.kept("input"), into: x)
    }
}

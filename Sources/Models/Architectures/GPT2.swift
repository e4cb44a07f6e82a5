import CKernels
import Tensors

/// GPT-2 (Radford and others 2019): pre-norm LayerNorm, learned positions, fused attention
/// projection, tanh GELU, biases throughout.
///
/// Its weights are Conv1D: [in, out].
struct GPT2: Architecture {
    let configuration: ModelConfiguration

    func tokenEmbedding(from source: any ParameterSource) throws -> Parameter {
        try source.parameter(
            "transformer.wte.weight",
            [configuration.vocabularySize, configuration.hiddenSize],
            .normal(0.02)
        )
    }

    func positionEmbedding(from source: any ParameterSource) throws -> Parameter? {
        try source.parameter(
            "transformer.wpe.weight",
            [configuration.maxPositions, configuration.hiddenSize],
            .normal(0.02)
        )
    }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        try GPT2Block(index, configuration, source)
    }

    func finalNorm(from source: any ParameterSource) throws -> FinalNorm {
        FinalNorm(
            norm: Norm(
                weight: try source.parameter(
                    "transformer.ln_f.weight",
                    [configuration.hiddenSize],
                    .ones
                ),
                bias: try source.parameter(
                    "transformer.ln_f.bias",
                    [configuration.hiddenSize],
                    .zeros
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

private final class GPT2Block: TransformerBlock {
    private let attention: Attention
    private let hiddenSize: Int
    private let firstNorm: Norm
    private let attentionProjection: Linear, outputProjection: Linear
    private let secondNorm: Norm
    private let upProjection: Linear, downProjection: Linear

    init(_ index: Int, _ c: ModelConfiguration, _ source: any ParameterSource) throws {
        let name = "transformer.h.\(index)"
        let d = c.hiddenSize
        // Projections into the residual stream start smaller the deeper the model (GPT-2, section 2.3).
        let residual = 0.02 / Float(2 * c.layerCount).squareRoot()
        func linear(_ part: String, _ inputs: Int, _ outputs: Int, _ deviation: Float) throws
            -> Linear
        {
            Linear(
                weight: try source.parameter(
                    "\(name).\(part).weight",
                    [inputs, outputs],
                    .normal(deviation)
                ),
                bias: try source.parameter("\(name).\(part).bias", [outputs], .zeros),
                layout: .inputsFirst
            )
        }
        func norm(_ part: String) throws -> Norm {
            Norm(
                weight: try source.parameter("\(name).\(part).weight", [d], .ones),
                bias: try source.parameter("\(name).\(part).bias", [d], .zeros),
                epsilon: c.normEpsilon
            )
        }
        hiddenSize = d
        attention = Attention(
            headCount: c.headCount,
            keyValueHeadCount: c.headCount,
            headSize: c.headSize
        )
        firstNorm = try norm("ln_1")
        attentionProjection = try linear("attn.c_attn", d, 3 * d, 0.02)
        outputProjection = try linear("attn.c_proj", d, d, residual)
        secondNorm = try norm("ln_2")
        upProjection = try linear("mlp.c_fc", d, c.intermediateSize, 0.02)
        downProjection = try linear("mlp.c_proj", c.intermediateSize, d, residual)
    }

    private var linears: [Linear] {
        [attentionProjection, outputProjection, upProjection, downProjection]
    }

    var parameters: [Parameter] {
        firstNorm.parameters + secondNorm.parameters + linears.flatMap(\.parameters)
    }

    func pack(_ compute: ComputeType) {
        for linear in linears { linear.pack(compute) }
    }

    private func parts(_ fused: Matrix) -> (q: Matrix, k: Matrix, v: Matrix) {
        let d = hiddenSize
        return (
            fused.slice(columns: 0..<d), fused.slice(columns: d..<(2 * d)),
            fused.slice(columns: (2 * d)..<(3 * d))
        )
    }

    func forward(_ x: Matrix, _ context: BlockContext) {
        context.keep("input", context.tape == nil ? x : x.copied())
        let normed = firstNorm(x)
        let fused = attentionProjection(normed)
        let (q, k, v) = parts(fused)
        let attended = context.attend(attention, q, k, v)
        outputProjection.add(attended, to: x)
        context.keep("normed", normed)
        context.keep("fused", fused)
        context.keep("attended", attended)

        context.keep("middle", context.tape == nil ? x : x.copied())
        let normedAgain = secondNorm(x)
        let up = upProjection(normedAgain)
        let activated = context.tape == nil ? up : Matrix(uninitialized: up.rows, up.columns)
        parallelRanges(up.count, minimum: 1 << 14) { range, _ in
            ck_gelu_tanh(
                up.base + range.lowerBound,
                activated.base + range.lowerBound,
                range.count
            )
        }
        downProjection.add(activated, to: x)
        context.keep("normedAgain", normedAgain)
        context.keep("up", up)
        context.keep("activated", activated)
    }

    func backward(_ x: Matrix, _ context: BlockContext) {
        let up = context.kept("up")
        let normedAgain = context.kept("normedAgain")
        let dUp = Matrix(uninitialized: up.rows, up.columns)
        downProjection.backward(x, input: context.kept("activated"), into: dUp)
        parallelRanges(up.count, minimum: 1 << 14) { range, _ in
            let start = range.lowerBound
            ck_gelu_tanh_backward(
                up.base + start,
                dUp.base + start,
                dUp.base + start,
                range.count
            )
        }
        let dNormed = Matrix(uninitialized: x.rows, x.columns)
        upProjection.backward(dUp, input: normedAgain, into: dNormed)
        secondNorm.backward(dNormed, input: context.kept("middle"), into: x)

        let (q, k, v) = parts(context.kept("fused"))
        let attended = context.kept("attended")
        let normed = context.kept("normed")
        let dAttended = Matrix(uninitialized: x.rows, x.columns)
        outputProjection.backward(x, input: attended, into: dAttended)
        let dFused = Matrix(uninitialized: x.rows, 3 * hiddenSize)
        let (dq, dk, dv) = parts(dFused)
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
        attentionProjection.backward(dFused, input: normed, into: dNormed)
        firstNorm.backward(dNormed, input: context.kept("input"), into: x)
    }
}

import Tensors

/// GPT-2 (Radford and others 2019): pre-norm LayerNorm, learned positions, fused attention projection,
/// tanh GELU, biases throughout.
///
/// Its weights are Conv1D: [in, out].
struct GPT2: NamedArchitecture {
    let configuration: ModelConfiguration
    let keys = ModelKeys(
        embedding: "transformer.wte.weight",
        positions: "transformer.wpe.weight",
        finalNorm: "transformer.ln_f"
    )

    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm { try layers.layerNorm(name) }

    /// Published GPT-2 checkpoints lack the prefix that later ones have.
    func storedNames(_ name: String) -> [String] {
        name.hasPrefix("transformer.") ? [name, String(name.dropFirst(12))] : [name]
    }

    /// Masks that old checkpoints carry.
    func ignores(_ tensor: String) -> Bool {
        tensor.hasSuffix(".attn.bias") || tensor.hasSuffix(".attn.masked_bias")
    }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        let layers = LayerMaker("transformer.h.\(index)", configuration, source)
        let (d, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        // Projections into the residual stream start smaller the deeper the model (GPT-2, section 2.3).
        let residual = 0.02 / Float(2 * configuration.layerCount).squareRoot()
        func linear(_ name: String, _ inputs: Int, _ outputs: Int, _ deviation: Float) throws
            -> Linear
        {
            try layers.linear(
                name,
                inputs,
                outputs,
                bias: true,
                layout: .inputsFirst,
                deviation: deviation
            )
        }
        return ResidualBlock(
            attention: .init(
                before: try layers.layerNorm("ln_1"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .fused(try linear("attn.c_attn", d, 3 * d, 0.02)),
                    output: try linear("attn.c_proj", d, d, residual),
                    rotary: nil
                )
            ),
            feedForward: .init(
                before: try layers.layerNorm("ln_2"),
                layer: FeedForward(
                    .plain(up: try linear("mlp.c_fc", d, inner, 0.02)),
                    down: try linear("mlp.c_proj", inner, d, residual),
                    configuration.activation
                )
            )
        )
    }
}

/// Gemma 2 (Gemma team 2024): RMSNorm before and after each layer, its weight kept as the distance from
/// 1; soft-capped scores and logits; windows in every other layer; tanh GELU as gate; embedding rows
/// times sqrt(d).
struct Gemma2: NamedArchitecture {
    let configuration: ModelConfiguration
    let keys = ModelKeys(embedding: "model.embed_tokens.weight", finalNorm: "model.norm")
    private let rotary: Rotary

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        rotary = Rotary(configuration)
    }

    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm {
        try layers.rmsNormFromOne(name)
    }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        let layers = LayerMaker("model.layers.\(index)", configuration, source)
        let (d, wide, narrow) = layers.widths
        let bias = configuration.attentionBias
        return ResidualBlock(
            attention: .init(
                before: try layers.rmsNormFromOne("input_layernorm"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .separate(
                        q: try layers.linear("self_attn.q_proj", d, wide, bias: bias),
                        k: try layers.linear("self_attn.k_proj", d, narrow, bias: bias),
                        v: try layers.linear("self_attn.v_proj", d, narrow, bias: bias)
                    ),
                    output: try layers.linear("self_attn.o_proj", wide, d, bias: bias),
                    rotary: rotary
                ),
                after: try layers.rmsNormFromOne("post_attention_layernorm")
            ),
            feedForward: .init(
                before: try layers.rmsNormFromOne("pre_feedforward_layernorm"),
                layer: try layers.gatedFeedForward(),
                after: try layers.rmsNormFromOne("post_feedforward_layernorm")
            )
        )
    }
}

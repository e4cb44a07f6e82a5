/// OLMo 2 (OLMo team 2024): norms after attention and feed-forward instead of before them, and an
/// RMSNorm over the whole width of queries and of keys.
struct OLMo2: NamedArchitecture {
    let configuration: ModelConfiguration
    let keys = ModelKeys(embedding: "model.embed_tokens.weight", finalNorm: "model.norm")
    private let rotary: Rotary

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        rotary = Rotary(configuration)
    }

    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm { try layers.rmsNorm(name) }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        let layers = LayerMaker("model.layers.\(index)", configuration, source)
        let (d, wide, narrow) = layers.widths
        let bias = configuration.attentionBias
        return ResidualBlock(
            attention: .init(
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .separate(
                        q: try layers.linear("self_attn.q_proj", d, wide, bias: bias),
                        k: try layers.linear("self_attn.k_proj", d, narrow, bias: bias),
                        v: try layers.linear("self_attn.v_proj", d, narrow, bias: bias)
                    ),
                    output: try layers.linear("self_attn.o_proj", wide, d, bias: bias),
                    queryNorm: try layers.rmsNorm("self_attn.q_norm", wide),
                    keyNorm: try layers.rmsNorm("self_attn.k_norm", narrow),
                    rotary: rotary
                ),
                after: try layers.rmsNorm("post_attention_layernorm")
            ),
            feedForward: .init(
                layer: try layers.gatedFeedForward(),
                after: try layers.rmsNorm("post_feedforward_layernorm")
            )
        )
    }
}

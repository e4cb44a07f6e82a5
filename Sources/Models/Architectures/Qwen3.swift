/// Qwen3 (Yang and others 2025): Llama's form with an RMSNorm over each head of queries and keys.
struct Qwen3: NamedArchitecture {
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
                before: try layers.rmsNorm("input_layernorm"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .separate(
                        q: try layers.linear("self_attn.q_proj", d, wide, bias: bias),
                        k: try layers.linear("self_attn.k_proj", d, narrow, bias: bias),
                        v: try layers.linear("self_attn.v_proj", d, narrow, bias: bias)
                    ),
                    output: try layers.linear("self_attn.o_proj", wide, d, bias: bias),
                    queryNorm: try layers.rmsNorm("self_attn.q_norm", configuration.headSize),
                    keyNorm: try layers.rmsNorm("self_attn.k_norm", configuration.headSize),
                    rotary: rotary
                )
            ),
            feedForward: .init(
                before: try layers.rmsNorm("post_attention_layernorm"),
                layer: try layers.gatedFeedForward()
            )
        )
    }
}

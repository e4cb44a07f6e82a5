/// Qwen2 and Qwen2.5 (Yang and others 2024): Llama's form with biases on queries, keys and values, and
/// a sliding window in the upper layers where that is switched on.
struct Qwen2: NamedArchitecture {
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
        return ResidualBlock(
            attention: .init(
                before: try layers.rmsNorm("input_layernorm"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .separate(
                        q: try layers.linear("self_attn.q_proj", d, wide, bias: true),
                        k: try layers.linear("self_attn.k_proj", d, narrow, bias: true),
                        v: try layers.linear("self_attn.v_proj", d, narrow, bias: true)
                    ),
                    output: try layers.linear("self_attn.o_proj", wide, d),
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

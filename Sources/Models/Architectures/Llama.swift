/// Llama (Touvron and others 2023) and what keeps its form (SmolLM2, TinyLlama): pre-norm RMSNorm,
/// rotary positions, grouped queries, SwiGLU; biases only where the configuration says so.
///
/// Mistral (Jiang and others 2023) is the same, with a sliding window in all layers or none.
struct Llama: NamedArchitecture {
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
                    rotary: rotary
                )
            ),
            feedForward: .init(
                before: try layers.rmsNorm("post_attention_layernorm"),
                layer: try layers.gatedFeedForward(bias: configuration.feedForwardBias)
            )
        )
    }
}

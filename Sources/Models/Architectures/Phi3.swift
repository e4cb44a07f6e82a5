/// Phi-3 and Phi-4-mini (Abdin and others 2024): Llama's form with fused projections, long rotary
/// positions, in later models only part of each head turned; a sliding window in all layers or none.
struct Phi3: NamedArchitecture {
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
        let inner = configuration.intermediateSize
        return ResidualBlock(
            attention: .init(
                before: try layers.rmsNorm("input_layernorm"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .fused(try layers.linear("self_attn.qkv_proj", d, wide + 2 * narrow)),
                    output: try layers.linear("self_attn.o_proj", wide, d),
                    rotary: rotary
                )
            ),
            feedForward: .init(
                before: try layers.rmsNorm("post_attention_layernorm"),
                layer: FeedForward(
                    .fused(gateUp: try layers.linear("mlp.gate_up_proj", d, 2 * inner)),
                    down: try layers.linear("mlp.down_proj", inner, d),
                    configuration.activation
                )
            )
        )
    }
}

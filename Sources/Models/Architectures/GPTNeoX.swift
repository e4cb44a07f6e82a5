/// GPT-NeoX (Black and others 2022) and Pythia: LayerNorm, attention and feed-forward side by side,
/// rotary positions on part of each head, GELU, projections fused head by head.
struct GPTNeoX: NamedArchitecture {
    let configuration: ModelConfiguration
    let keys = ModelKeys(
        embedding: "gpt_neox.embed_in.weight",
        finalNorm: "gpt_neox.final_layer_norm",
        head: "embed_out.weight"
    )
    private let rotary: Rotary

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        rotary = Rotary(configuration)
    }

    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm { try layers.layerNorm(name) }

    /// transformers 5 calls the head as other models do.
    func storedNames(_ name: String) -> [String] {
        name == keys.head ? [name, "lm_head.weight"] : [name]
    }

    /// Masks and rotary tables that old checkpoints carry.
    func ignores(_ tensor: String) -> Bool {
        [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"]
            .contains { tensor.hasSuffix($0) }
    }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        let layers = LayerMaker("gpt_neox.layers.\(index)", configuration, source)
        let (d, inner) = (configuration.hiddenSize, configuration.intermediateSize)
        let bias = configuration.attentionBias
        return ResidualBlock(
            attention: .init(
                before: try layers.layerNorm("input_layernorm"),
                layer: SelfAttention(
                    configuration,
                    layer: index,
                    .interleaved(
                        try layers.linear("attention.query_key_value", d, 3 * d, bias: bias)
                    ),
                    output: try layers.linear("attention.dense", d, d, bias: bias),
                    rotary: rotary
                )
            ),
            feedForward: .init(
                before: try layers.layerNorm("post_attention_layernorm"),
                layer: FeedForward(
                    .plain(up: try layers.linear("mlp.dense_h_to_4h", d, inner, bias: true)),
                    down: try layers.linear("mlp.dense_4h_to_h", inner, d, bias: true),
                    configuration.activation
                )
            ),
            parallel: configuration.parallelResidual
        )
    }
}

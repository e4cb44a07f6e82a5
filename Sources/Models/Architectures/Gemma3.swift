/// The text part of Gemma 3 (Gemma team 2025): Gemma 2's norms, gate and embedding scale; an RMSNorm over
/// each head of queries and keys instead of the soft-caps; five of six layers with a window and rotary
/// positions of a smaller base.
struct Gemma3: NamedArchitecture {
    let configuration: ModelConfiguration
    let keys = ModelKeys(embedding: "model.embed_tokens.weight", finalNorm: "model.norm")
    private let globalRotary: Rotary
    private let localRotary: Rotary

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        globalRotary = Rotary(configuration)
        localRotary = Rotary(configuration, local: true)
    }

    func norm(_ layers: LayerMaker, _ name: String) throws -> Norm {
        try layers.rmsNormFromOne(name)
    }

    /// Checkpoints with a vision part keep the text part under a name of its own, which transformers
    /// has changed once.
    func storedNames(_ name: String) -> [String] {
        let inner = name.hasPrefix("model.") ? String(name.dropFirst(6)) : name
        return [name, "language_model.\(name)", "model.language_model.\(inner)"]
    }

    /// The vision part.
    func ignores(_ tensor: String) -> Bool {
        ["vision_tower.", "multi_modal_projector."].contains {
            tensor.hasPrefix($0) || tensor.hasPrefix("model.\($0)")
        }
    }

    func block(_ index: Int, from source: any ParameterSource) throws -> any TransformerBlock {
        let layers = LayerMaker("model.layers.\(index)", configuration, source)
        let (d, wide, narrow) = layers.widths
        let bias = configuration.attentionBias
        let isLocal = configuration.attentionKind(ofLayer: index) == .sliding
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
                    queryNorm: try layers.rmsNormFromOne(
                        "self_attn.q_norm",
                        configuration.headSize
                    ),
                    keyNorm: try layers.rmsNormFromOne(
                        "self_attn.k_norm",
                        configuration.headSize
                    ),
                    rotary: isLocal ? localRotary : globalRotary
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

import Foundation

/// The sizes of a model and what else its arithmetic needs, under the names of config.json.
///
/// What a family always does (norm placement, fused projections) is in its file under Architectures;
/// here is what checkpoints of one family may differ in.
public struct ModelConfiguration: Sendable, Equatable {
    /// Which keys a layer's queries see: `layer_types`.
    public enum AttentionKind: String, Sendable, Equatable {
        /// All up to their own.
        case full = "full_attention"
        /// The last `slidingWindow` of them.
        case sliding = "sliding_attention"
    }

    /// The non-linearity of the feed-forward layer: `hidden_act`, `hidden_activation`,
    /// `activation_function`.
    public enum Activation: String, Sendable, Equatable {
        /// x * sigmoid(x).
        case silu
        /// GELU by tanh: also "gelu_new".
        case geluTanh = "gelu_pytorch_tanh"
        /// GELU by erf.
        case gelu
    }

    /// `model_type`: one of `ArchitectureRegistry.names`.
    public var modelType: String
    /// `hidden_size` / `n_embd`: d.
    public var hiddenSize: Int
    /// `num_hidden_layers` / `n_layer`.
    public var layerCount: Int
    /// `num_attention_heads` / `n_head`.
    public var headCount: Int
    /// `num_key_value_heads`.
    public var keyValueHeadCount: Int
    /// `head_dim`.
    public var headSize: Int
    /// `intermediate_size` / `n_inner`.
    public var intermediateSize: Int
    /// `vocab_size`.
    public var vocabularySize: Int
    /// `max_position_embeddings` / `n_positions`.
    public var maxPositions: Int
    /// `rms_norm_eps` / `layer_norm_epsilon` / `layer_norm_eps`.
    public var normEpsilon: Float
    /// `tie_word_embeddings`.
    public var tiesEmbeddings: Bool

    // MARK: Rotary positions

    /// `rope_theta` / `rotary_emb_base`.
    public var ropeTheta: Float = 10_000
    /// `rope_scaling`; of Gemma 3, for its full-attention layers only.
    public var ropeScaling: RopeScaling?
    /// `rope_local_base_freq`: the base of Gemma 3's sliding-attention layers; nil for `ropeTheta`.
    public var localRopeTheta: Float?
    /// How many channels of a head are turned (`partial_rotary_factor`, `rotary_pct`); nil for all.
    public var rotarySize: Int?

    // MARK: Attention

    /// `attention_bias`: whether the projections to q, k and v have biases; the one back as well,
    /// except in Qwen2.
    public var attentionBias = false
    /// `query_pre_attn_scalar`: scores are divided by its square root; nil for the head size.
    public var queryScalar: Float?
    /// `attn_logit_softcapping`: scores s become cap * tanh(s / cap).
    public var attentionSoftCap: Float?
    /// `sliding_window`: query i of a sliding layer sees the keys after i - window, up to its own.
    public var slidingWindow: Int?
    /// `layer_types`: one a layer; empty when every layer sees everything.
    public var layerKinds: [AttentionKind] = []

    // MARK: Feed-forward, residual stream, ends

    /// `hidden_act`; GPT-2's and others' defaults are set with the rest of their configuration.
    public var activation = Activation.silu
    /// `mlp_bias` of Llama.
    public var feedForwardBias = false
    /// `use_parallel_residual` of GPT-NeoX.
    public var parallelResidual = false
    /// What rows of the embedding are multiplied by; Gemma's sqrt(hidden size).
    public var embeddingScale: Float = 1
    /// `final_logit_softcapping`: logits x become cap * tanh(x / cap).
    public var logitSoftCap: Float?

    // MARK: Tokens

    /// `eos_token_id`, the first where there are several.
    public var endOfSequence: Int?
    /// `bos_token_id`.
    public var beginOfSequence: Int?

    /// What scores are multiplied by.
    public var attentionScale: Float { 1 / (queryScalar ?? Float(headSize)).squareRoot() }

    /// Which keys a layer's queries see.
    public func attentionKind(ofLayer index: Int) -> AttentionKind {
        layerKinds.indices.contains(index) ? layerKinds[index] : .full
    }

    /// How many tokens back a layer's queries see, their own included; nil for all.
    public func window(ofLayer index: Int) -> Int? {
        attentionKind(ofLayer: index) == .sliding ? slidingWindow : nil
    }

    /// GPT-2 with the given sizes, its head tied and its MLP four times as wide, as published.
    public static func gpt2(
        hiddenSize: Int,
        layerCount: Int,
        headCount: Int,
        vocabularySize: Int,
        maxPositions: Int
    ) -> ModelConfiguration {
        ModelConfiguration(
            modelType: "gpt2",
            hiddenSize: hiddenSize,
            layerCount: layerCount,
            headCount: headCount,
            keyValueHeadCount: headCount,
            headSize: hiddenSize / headCount,
            intermediateSize: hiddenSize.multipliedReportingOverflow(by: 4).partialValue,
            vocabularySize: vocabularySize,
            maxPositions: maxPositions,
            normEpsilon: 1e-5,
            tiesEmbeddings: true,
            attentionBias: true,
            activation: .geluTanh
        )
    }
}

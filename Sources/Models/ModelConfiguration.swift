import Foundation

/// The sizes of a model and what else its arithmetic needs, under the names of config.json.
public struct ModelConfiguration: Sendable, Equatable {
    /// Rotary position frequencies as Llama 3 stretches them.
    public struct Llama3Scaling: Sendable, Equatable {
        var factor: Float, lowFrequencyFactor: Float, highFrequencyFactor: Float
        var originalMaxPositions: Int
    }

    /// `model_type`: "llama" or "gpt2".
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
    /// `rms_norm_eps` / `layer_norm_epsilon`.
    public var normEpsilon: Float
    /// `rope_theta`.
    public var ropeTheta: Float = 10_000
    /// `rope_scaling` of type llama3.
    public var ropeScaling: Llama3Scaling?
    /// `tie_word_embeddings`.
    public var tiesEmbeddings: Bool
    /// `eos_token_id`, `bos_token_id`, `pad_token_id`.
    public var endOfSequence: Int?
    /// See `endOfSequence`.
    public var beginOfSequence: Int?

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
            tiesEmbeddings: true
        )
    }
}

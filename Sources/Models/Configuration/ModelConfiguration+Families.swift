/// config.json of each family: its keys, its defaults (those of transformers), what it may not say.
extension ModelConfiguration {
    /// The keys that all but GPT-2 have.
    ///
    /// - Parameters:
    ///   - headSize: Where "head_dim" is not given; nil for hidden size / heads.
    ///   - keyValueHeads: Where "num_key_value_heads" is not given; nil for as many as heads, which is what
    ///     null stands for.
    ///   - positions: Where "max_position_embeddings" is not given.
    private static func usual(
        _ file: ConfigFile,
        _ modelType: String,
        headSize: Int? = nil,
        keyValueHeads: Int? = nil,
        positions: Int,
        epsilon: (key: String, value: Float) = ("rms_norm_eps", 1e-6),
        ties: Bool = false,
        activation: (key: String, value: Activation) = ("hidden_act", .silu)
    ) throws -> ModelConfiguration {
        let hidden = try file.needInt("hidden_size")
        let heads = try file.needInt("num_attention_heads")
        let sharedHeads =
            file.has("num_key_value_heads")
            ? try file.int("num_key_value_heads") : keyValueHeads
        var configuration = ModelConfiguration(
            modelType: modelType,
            hiddenSize: hidden,
            layerCount: try file.needInt("num_hidden_layers"),
            headCount: heads,
            keyValueHeadCount: sharedHeads ?? heads,
            headSize: try file.int("head_dim") ?? headSize ?? (heads > 0 ? hidden / heads : 0),
            intermediateSize: try file.needInt("intermediate_size"),
            vocabularySize: try file.needInt("vocab_size"),
            maxPositions: try file.int("max_position_embeddings") ?? positions,
            normEpsilon: try file.float(epsilon.key) ?? epsilon.value,
            tiesEmbeddings: try file.bool("tie_word_embeddings") ?? ties
        )
        configuration.activation = try Self.activation(file, activation.key) ?? activation.value
        return configuration
    }

    private static func activation(_ file: ConfigFile, _ key: String) throws -> Activation? {
        guard let name = try file.string(key) else { return nil }
        switch name {
        case "silu", "swish": return .silu
        case "gelu_pytorch_tanh", "gelu_new", "gelu_fast": return .geluTanh
        case "gelu": return .gelu
        default:
            try file.refuse(key, name, unless: ["silu", "gelu", "gelu_new", "gelu_pytorch_tanh"])
            return nil
        }
    }

    static func gpt2(_ file: ConfigFile) throws -> ModelConfiguration {
        try file.refuse("scale_attn_weights", unless: true)
        try file.refuse("scale_attn_by_inverse_layer_idx", unless: false)
        let hidden = try file.needInt("n_embd")
        let heads = try file.needInt("n_head")
        return ModelConfiguration(
            modelType: "gpt2",
            hiddenSize: hidden,
            layerCount: try file.needInt("n_layer"),
            headCount: heads,
            keyValueHeadCount: heads,
            headSize: heads > 0 ? hidden / heads : 0,
            intermediateSize: try file.int("n_inner")
                ?? hidden.multipliedReportingOverflow(by: 4).partialValue,
            vocabularySize: try file.needInt("vocab_size"),
            maxPositions: try file.int("n_positions") ?? 1024,
            normEpsilon: try file.float("layer_norm_epsilon") ?? 1e-5,
            tiesEmbeddings: try file.bool("tie_word_embeddings") ?? true,
            attentionBias: true,
            activation: try activation(file, "activation_function") ?? .geluTanh
        )
    }

    static func gptNeoX(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(
            file,
            "gpt_neox",
            positions: 2048,
            epsilon: ("layer_norm_eps", 1e-5),
            activation: ("hidden_act", .gelu)
        )
        configuration.keyValueHeadCount = configuration.headCount
        configuration.attentionBias = try file.bool("attention_bias") ?? true
        configuration.parallelResidual = try file.bool("use_parallel_residual") ?? true
        try configuration.readRope(
            file,
            thetaKey: "rotary_emb_base",
            partKey: "rotary_pct",
            part: 0.25
        )
        return configuration
    }

    static func llama(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(file, "llama", positions: 2048)
        configuration.attentionBias = try file.bool("attention_bias") ?? false
        configuration.feedForwardBias = try file.bool("mlp_bias") ?? false
        try configuration.readRope(file)
        return configuration
    }

    static func mistral(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(file, "mistral", keyValueHeads: 8, positions: 131_072)
        // Null means no window; only where the key is not there does the default hold.
        let window =
            file.has("sliding_window") ? try file.int("sliding_window") : 4096
        configuration.setWindow(window) { _ in .sliding }
        try configuration.readRope(file)
        return configuration
    }

    static func qwen2(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(file, "qwen2", keyValueHeads: 32, positions: 32_768)
        configuration.attentionBias = true
        try configuration.readUpperWindow(file)
        try configuration.readRope(file)
        return configuration
    }

    static func qwen3(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(
            file,
            "qwen3",
            headSize: 128,
            keyValueHeads: 32,
            positions: 32_768
        )
        configuration.attentionBias = try file.bool("attention_bias") ?? false
        try configuration.readUpperWindow(file)
        try configuration.readRope(file)
        return configuration
    }

    static func olmo2(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(
            file,
            "olmo2",
            positions: 2048,
            epsilon: ("rms_norm_eps", 1e-5)
        )
        configuration.attentionBias = try file.bool("attention_bias") ?? false
        try configuration.readRope(file)
        return configuration
    }

    static func phi3(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(
            file,
            "phi3",
            positions: 4096,
            epsilon: ("rms_norm_eps", 1e-5)
        )
        configuration.setWindow(try file.int("sliding_window")) { _ in .sliding }
        try configuration.readRope(file, partKey: "partial_rotary_factor")
        return configuration
    }

    static func gemma2(_ file: ConfigFile) throws -> ModelConfiguration {
        var configuration = try usual(
            file,
            "gemma2",
            headSize: 256,
            keyValueHeads: 4,
            positions: 8192,
            ties: true,
            activation: ("hidden_activation", .geluTanh)
        )
        let cap = "attn_logit_softcapping"
        configuration.attentionSoftCap = file.has(cap) ? try file.float(cap) : 50
        try configuration.readGemma(file, logitCap: 30) { index in
            index % 2 == 0 ? .sliding : .full
        }
        try configuration.readRope(file)
        return configuration
    }

    static func gemma3(_ file: ConfigFile) throws -> ModelConfiguration {
        // Published vision models leave out what equals the default of transformers.
        var configuration = ModelConfiguration(
            modelType: "gemma3_text",
            hiddenSize: try file.int("hidden_size") ?? 2304,
            layerCount: try file.int("num_hidden_layers") ?? 26,
            headCount: try file.int("num_attention_heads") ?? 8,
            keyValueHeadCount: try file.int("num_key_value_heads") ?? 4,
            headSize: try file.int("head_dim") ?? 256,
            intermediateSize: try file.int("intermediate_size") ?? 9216,
            vocabularySize: try file.int("vocab_size") ?? 262_208,
            maxPositions: try file.int("max_position_embeddings") ?? 131_072,
            normEpsilon: try file.float("rms_norm_eps") ?? 1e-6,
            tiesEmbeddings: try file.bool("tie_word_embeddings") ?? true,
            activation: try activation(file, "hidden_activation") ?? .geluTanh
        )
        let pattern = max(1, try file.int("sliding_window_pattern") ?? 6)
        // "attn_logit_softcapping" is a key of its class, but its attention does not look at it.
        try configuration.readGemma(file, logitCap: nil) { index in
            (index + 1) % pattern == 0 ? .full : .sliding
        }
        try configuration.readLocalRope(file)
        return configuration
    }

    /// What the two Gemmas share.
    private mutating func readGemma(
        _ file: ConfigFile,
        logitCap: Float?,
        kind: (Int) -> AttentionKind
    ) throws {
        try file.refuse("use_bidirectional_attention", unless: false)
        let cap = "final_logit_softcapping"
        logitSoftCap = file.has(cap) ? try file.float(cap) : logitCap
        queryScalar = try file.float("query_pre_attn_scalar") ?? 256
        attentionBias = try file.bool("attention_bias") ?? false
        embeddingScale = Float(hiddenSize).squareRoot()
        let window = file.has("sliding_window") ? try file.int("sliding_window") : 4096
        try readKinds(file, window: window, kind)
    }

    /// Qwen's window: in the layers from "max_window_layers" on, where it is switched on.
    private mutating func readUpperWindow(_ file: ConfigFile) throws {
        guard try file.bool("use_sliding_window") ?? false else { return }
        let window = file.has("sliding_window") ? try file.int("sliding_window") : 4096
        let first = try file.int("max_window_layers") ?? 28
        try readKinds(file, window: window) { $0 >= first ? .sliding : .full }
    }

    /// "layer_types" where it is given, else by the layer's index.
    private mutating func readKinds(
        _ file: ConfigFile,
        window: Int?,
        _ usual: (Int) -> AttentionKind
    ) throws {
        guard let names = try file.strings("layer_types") else {
            setWindow(window, usual)
            return
        }
        guard names.count == layerCount else {
            throw ModelError(
                .corrupt,
                path: file.path,
                "\"layer_types\" names \(names.count) layers of \(layerCount)",
                remedy: "Fetch config.json again"
            )
        }
        let kinds = try names.map { name in
            try file.refuse("layer_types", name, unless: ["full_attention", "sliding_attention"])
            return AttentionKind(rawValue: name) ?? .full
        }
        setWindow(window) { kinds[$0] }
    }

    /// Sets window and kinds, both empty where no layer has a window.
    mutating func setWindow(_ window: Int?, _ kind: (Int) -> AttentionKind) {
        // The layer count is not validated yet.
        let kinds = (0..<min(max(layerCount, 0), 1_024)).map(kind)
        guard let window, kinds.contains(.sliding) else { return }
        slidingWindow = window
        layerKinds = kinds
    }
}

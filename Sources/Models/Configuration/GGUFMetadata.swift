/// A model's sizes under the keys of a GGUF file, as llama.cpp's converter writes them.
struct GGUFMetadata {
    /// `general.architecture`.
    let architecture: String
    /// The keys under that name.
    private(set) var entries: [(key: String, value: GGUFEntry)] = []
    /// What each rotary frequency is divided by (`rope_freqs.weight`), for Llama 3's scaling.
    private(set) var rotaryFactors: [Float]?

    /// The families that are written, by `model_type`.
    static let architectures = [
        "gpt2": "gpt2", "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3",
    ]

    /// - Throws: `ModelError` `unsupported` for families that are not written, and for what llama.cpp does
    ///   not compute in one that is.
    init(_ c: ModelConfiguration, path: String) throws {
        guard let architecture = Self.architectures[c.modelType] else {
            throw Self.refusal(
                path,
                "GGUF files of \(c.modelType) are not written",
                "Families that are: \(Self.architectures.keys.sorted().joined(separator: ", ")). "
                    + "Use llama.cpp's convert_hf_to_gguf.py."
            )
        }
        self.architecture = architecture
        try Self.refuseUncomputed(c, path)
        add("context_length", c.maxPositions)
        add("embedding_length", c.hiddenSize)
        add("block_count", c.layerCount)
        add("feed_forward_length", c.intermediateSize)
        add("vocab_size", c.vocabularySize)
        add("attention.head_count", c.headCount)
        guard architecture != "gpt2" else {
            add("attention.layer_norm_epsilon", c.normEpsilon)
            return
        }
        add("attention.head_count_kv", c.keyValueHeadCount)
        add("attention.key_length", c.headSize)
        add("attention.value_length", c.headSize)
        add("attention.layer_norm_rms_epsilon", c.normEpsilon)
        add("rope.dimension_count", c.rotarySize ?? c.headSize)
        add("rope.freq_base", c.ropeTheta)
        // llama.cpp has no window in this architecture; Retort reads the key.
        if let window = c.slidingWindow, c.layerKinds.contains(.sliding) {
            add("attention.sliding_window", window)
        }
        try addScaling(c, path)
    }

    private static func refusal(_ path: String, _ message: String, _ remedy: String) -> ModelError {
        ModelError(.unsupported, path: path, message, remedy: remedy)
    }

    private static func refuseUncomputed(_ c: ModelConfiguration, _ path: String) throws {
        let isGPT2 = c.modelType == "gpt2"
        let hasWindow = c.layerKinds.contains(.sliding)
        let reason: String? =
            if c.activation != (isGPT2 ? .geluTanh : .silu) {
                "the activation \(c.activation.rawValue)"
            } else if c.modelType == "qwen3", c.attentionBias {
                "biases of its attention"
            } else if hasWindow, c.modelType != "mistral" || c.layerKinds.contains(.full) {
                "a sliding window in some layers"
            } else {
                nil
            }
        guard let reason else { return }
        throw refusal(
            path,
            "\(c.modelType) with \(reason), which llama.cpp does not compute",
            "Keep the Hugging Face directory."
        )
    }

    private mutating func add(_ key: String, _ value: GGUFEntry) {
        entries.append(("\(architecture).\(key)", value))
    }

    private mutating func add(_ key: String, _ number: Int) {
        add(key, .u32(UInt32(clamping: number)))
    }

    private mutating func add(_ key: String, _ number: Float) { add(key, .f32(number)) }

    private mutating func addScaling(_ c: ModelConfiguration, _ path: String) throws {
        switch c.ropeScaling {
        case nil: break
        case .linear(let factor):
            add("rope.scaling.type", .string("linear"))
            add("rope.scaling.factor", factor)
        case .llama3(let scaling):
            rotaryFactors = scaling.divisors(theta: c.ropeTheta, size: c.rotarySize ?? c.headSize)
                .map { Float($0) }
        case .yarn(let scaling):
            guard scaling.attentionFactor == nil, scaling.scale == nil,
                scaling.scaleAllDimensions == nil, scaling.truncates
            else {
                throw Self.refusal(
                    path,
                    "YaRN with an attention factor or bounds of its own",
                    "Keep the Hugging Face directory."
                )
            }
            add("rope.scaling.type", .string("yarn"))
            add("rope.scaling.factor", scaling.factor)
            add("rope.scaling.original_context_length", scaling.originalMaxPositions)
            add("rope.scaling.yarn_beta_fast", scaling.betaFast)
            add("rope.scaling.yarn_beta_slow", scaling.betaSlow)
        case .longRope:
            throw Self.refusal(
                path,
                "LongRoPE in a \(c.modelType) model",
                "Keep the Hugging Face directory."
            )
        }
    }
}

import Models
import Tokenizers

/// How a pipeline's `student:` comes to be.
enum StudentSettings {
    /// A model from scratch: its family and sizes, and where its tokenizer comes from.
    struct New: Codable, Equatable {
        /// `gpt2` or one of `ModelConfiguration.newFamilies`.
        var architecture = "gpt2"
        /// Tokens of a tokenizer that is trained.
        var vocabulary = 8_192
        /// A directory or GGUF file to take the tokenizer from; nil trains one.
        var tokenizer: String?
        /// The embedding's rows are made a multiple of this.
        var padVocabulary = 1
        var hiddenSize = 384
        var layers = 5
        var heads = 6
        /// Nil for as many as heads.
        var kvHeads: Int?
        /// Nil for hidden size / heads.
        var headSize: Int?
        /// Nil for the family's usual share of the hidden size.
        var intermediateSize: Int?
        var positions = 512
        var tied = true
        var template = "chatml"
        var seed: UInt64 = 1

        enum CodingKeys: String, CodingKey, CaseIterable {
            case architecture, vocabulary, tokenizer, layers, heads, positions, tied, template, seed
            case padVocabulary = "pad_vocabulary"
            case hiddenSize = "hidden_size"
            case kvHeads = "kv_heads"
            case headSize = "head_size"
            case intermediateSize = "intermediate_size"
        }

        init() {}

        init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            func set<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
                value = try c.decodeIfPresent(T.self, forKey: key) ?? value
            }
            try set(.architecture, &architecture)
            try set(.vocabulary, &vocabulary)
            tokenizer = try c.decodeIfPresent(String.self, forKey: .tokenizer)
            try set(.padVocabulary, &padVocabulary)
            try set(.hiddenSize, &hiddenSize)
            try set(.layers, &layers)
            try set(.heads, &heads)
            kvHeads = try c.decodeIfPresent(Int.self, forKey: .kvHeads)
            headSize = try c.decodeIfPresent(Int.self, forKey: .headSize)
            intermediateSize = try c.decodeIfPresent(Int.self, forKey: .intermediateSize)
            try set(.positions, &positions)
            try set(.tied, &tied)
            try set(.template, &template)
            try set(.seed, &seed)
        }
    }
}

extension StudentSettings.New {
    static let architectures = ["gpt2"] + ModelConfiguration.newFamilies

    private func refusal(_ key: CodingKeys, _ message: String, _ remedy: String)
        -> ConfigurationError
    {
        ConfigurationError(
            place: "student.new.\(key.rawValue)",
            message: message,
            remedy: remedy
        )
    }

    /// Refuses sizes that make no model, before anything is read.
    func validate() throws {
        _ = try PromptTemplate.named(template)
        guard Self.architectures.contains(architecture) else {
            throw refusal(
                .architecture,
                "\"\(architecture)\" is not made from sizes",
                ConfigurationError.nearest(architecture, among: Self.architectures).map {
                    "did you mean \"\($0)\"?"
                } ?? "give one of \(Self.architectures.joined(separator: ", ")), or cut another "
                    + "model with student.prune"
            )
        }
        for (key, value, range) in [
            (CodingKeys.vocabulary, vocabulary, 257...1_000_000),
            (.padVocabulary, padVocabulary, 1...65_536), (.hiddenSize, hiddenSize, 1...65_536),
            (.layers, layers, 1...1_024), (.heads, heads, 1...1_024),
            (.kvHeads, kvHeads ?? heads, 1...1_024), (.headSize, headSize ?? 1, 1...1_024),
            (.intermediateSize, intermediateSize ?? 1, 1...1_048_576),
            (.positions, positions, 2...1_000_000),
        ] where !range.contains(value) {
            throw refusal(
                key,
                "\(value) is out of range",
                "give \(range.lowerBound) to \(range.upperBound)"
            )
        }
        guard headSize != nil || hiddenSize % heads == 0 else {
            throw refusal(
                .heads,
                "\(heads) heads do not divide \(hiddenSize) channels",
                "make hidden_size a multiple of heads"
                    + (architecture == "gpt2" ? "" : ", or give head_size")
            )
        }
        if architecture == "gpt2" {
            try validateGPT2()
        } else {
            try validateGroups()
        }
    }

    private func validateGPT2() throws {
        guard (kvHeads ?? heads) == heads else {
            throw refusal(
                .kvHeads,
                "GPT-2 has as many key-value heads as heads",
                "leave it out, or choose another architecture"
            )
        }
        guard headSize == nil || headSize == hiddenSize / heads, hiddenSize % heads == 0 else {
            throw refusal(
                .headSize,
                "GPT-2's heads have hidden_size / heads channels",
                "leave it out, or choose another architecture"
            )
        }
    }

    private func validateGroups() throws {
        let narrow = kvHeads ?? heads
        guard heads % narrow == 0 else {
            throw refusal(
                .kvHeads,
                "\(heads) heads are no multiple of \(narrow) key-value heads",
                "give a number that divides heads"
            )
        }
        let size = headSize ?? hiddenSize / heads
        guard size % 2 == 0 else {
            throw refusal(
                headSize == nil ? .heads : .headSize,
                "heads of \(size) channels",
                "rotary positions turn pairs of channels: make the head size even"
            )
        }
    }

    /// The configuration of a model with so many rows of embedding.
    ///
    /// - Precondition: `validate` has passed.
    func configuration(vocabularySize: Int) -> ModelConfiguration {
        if let configuration = ModelConfiguration.newFamily(
            architecture,
            hiddenSize: hiddenSize,
            layerCount: layers,
            headCount: heads,
            keyValueHeadCount: kvHeads ?? heads,
            headSize: headSize,
            // 8/3 of the hidden size (Touvron and others 2023, section 2.2), in whole 64s.
            intermediateSize: intermediateSize ?? (8 * hiddenSize / 3 + 63) / 64 * 64,
            vocabularySize: vocabularySize,
            maxPositions: positions,
            tiesEmbeddings: tied
        ) {
            return configuration
        }
        var configuration = ModelConfiguration.gpt2(
            hiddenSize: hiddenSize,
            layerCount: layers,
            headCount: heads,
            vocabularySize: vocabularySize,
            maxPositions: positions
        )
        configuration.intermediateSize = intermediateSize ?? configuration.intermediateSize
        configuration.tiesEmbeddings = tied
        return configuration
    }
}

import Cache
import Foundation
import Tensors

/// What `extract:` in a pipeline file sets.
public struct ExtractSettings: Codable, Sendable, Equatable {
    /// A Hugging Face directory or a GGUF file.
    public var teacher: String
    /// A JSON Lines file of prompts and responses.
    public var data: String
    /// The cache directory to make.
    public var output: String
    /// A LoRA adapter of it, a PEFT directory, merged when weights are read; nil for none.
    public var adapter: String?
    /// The prompt template's name; `auto` takes the teacher's own where it is one that we know.
    public var template: String
    /// Only these splits of the dataset; nil takes all.
    public var splits: [String]?
    /// Only the first so many examples; nil takes all.
    public var limit: Int?
    /// Prompts are cut to so many tokens.
    public var maxPromptLength: Int
    /// Prompt and response together are cut to so many tokens.
    public var maxLength: Int
    /// Log-probabilities stored for each row where `logits` has topk; 0 stores none.
    public var topK: Int
    /// What is stored of the teacher's logits.
    public var logits: [LogitSignal]
    /// Draws stored for each row where `logits` has sampled.
    public var samples: Int
    /// Decides the draws, together with an example's id and the position.
    public var sampleSeed: UInt64
    /// The type of whole rows where `logits` has full.
    public var logitsType: CacheSignals.LogitType
    /// Layers stored beside the final one: 0 is the embedding, i the output of block i.
    public var hiddenLayers: [Int]
    /// How hidden states are stored.
    public var hiddenType: CacheSignals.HiddenType
    /// Which positions have rows.
    public var positions: CacheSignals.Positions
    /// What the shards are packed for.
    public var compression: CacheCompression
    /// f32 or bf16 matrix products.
    public var compute: ComputeType
    /// Tokens pushed through a layer before the next is loaded; nil takes a whole shard's.
    public var blockTokens: Int?
    /// The memory that may be resident; nil takes what the machine can give.
    public var memory: ByteCount?
    /// A directory for scratch files; nil takes `output`.
    public var scratch: String?
    /// The size of a shard before compression.
    public var shardMiB: Int
    /// Seconds without a sign of life after which another worker's claim on a shard is dead.
    public var claimTimeout: Int

    /// The keys of the YAML file.
    public enum CodingKeys: String, CodingKey, CaseIterable {
        /// One for each setting.
        case teacher, adapter, data, output, template, splits, limit, compute, logits, samples,
            positions, compression
        /// See `ExtractSettings.memory` and `ExtractSettings.scratch`.
        case memory, scratch
        /// See `ExtractSettings.maxPromptLength`.
        case maxPromptLength = "max_prompt_length"
        /// See `ExtractSettings.maxLength`.
        case maxLength = "max_length"
        /// See `ExtractSettings.topK`.
        case topK = "top_k"
        /// See `ExtractSettings.sampleSeed`.
        case sampleSeed = "sample_seed"
        /// See `ExtractSettings.logitsType`.
        case logitsType = "logits_dtype"
        /// See `ExtractSettings.hiddenLayers`.
        case hiddenLayers = "hidden_layers"
        /// See `ExtractSettings.hiddenType`.
        case hiddenType = "hidden_dtype"
        /// See `ExtractSettings.blockTokens`.
        case blockTokens = "block_tokens"
        /// See `ExtractSettings.shardMiB`.
        case shardMiB = "shard_mib"
        /// See `ExtractSettings.claimTimeout`.
        case claimTimeout = "claim_timeout"
    }

    /// Settings with the defaults of METHOD's example layout.
    public init(teacher: String, data: String, output: String) {
        self.teacher = teacher
        self.data = data
        self.output = output
        template = "chatml"
        maxPromptLength = 256
        maxLength = 512
        topK = 64
        logits = [.topK]
        samples = 64
        sampleSeed = 0
        logitsType = .f16
        hiddenLayers = []
        hiddenType = .bf16
        positions = .supervised
        compression = .lz4
        compute = .f32
        shardMiB = 256
        claimTimeout = 600
    }

    /// Decodes with defaults for what is left out.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            teacher: try c.decode(String.self, forKey: .teacher),
            data: try c.decode(String.self, forKey: .data),
            output: try c.decode(String.self, forKey: .output)
        )
        adapter = try c.decodeIfPresent(String.self, forKey: .adapter)
        template = try c.decodeIfPresent(String.self, forKey: .template) ?? template
        splits = try c.decodeIfPresent([String].self, forKey: .splits)
        limit = try c.decodeIfPresent(Int.self, forKey: .limit)
        maxPromptLength =
            try c.decodeIfPresent(Int.self, forKey: .maxPromptLength) ?? maxPromptLength
        maxLength = try c.decodeIfPresent(Int.self, forKey: .maxLength) ?? maxLength
        topK = try c.decodeIfPresent(Int.self, forKey: .topK) ?? topK
        try decodeSignals(c)
        compute = try c.decodeIfPresent(ComputeType.self, forKey: .compute) ?? compute
        blockTokens = try c.decodeIfPresent(Int.self, forKey: .blockTokens)
        memory = try c.decodeIfPresent(ByteCount.self, forKey: .memory)
        scratch = try c.decodeIfPresent(String.self, forKey: .scratch)
        shardMiB = try c.decodeIfPresent(Int.self, forKey: .shardMiB) ?? shardMiB
        claimTimeout = try c.decodeIfPresent(Int.self, forKey: .claimTimeout) ?? claimTimeout
    }

    /// Refuses what cannot work, before anything is read.
    ///
    /// - Throws: `ExtractError` naming the setting.
    public func validate() throws {
        let checks: [(String, Int, ClosedRange<Int>)] = [
            ("max_prompt_length", maxPromptLength, 1...1_000_000),
            ("max_length", maxLength, 2...1_000_000), ("top_k", topK, 0...4_096),
            ("block_tokens", blockTokens ?? 1, 1...100_000_000), ("shard_mib", shardMiB, 1...1_024),
            ("claim_timeout", claimTimeout, 1...86_400), ("limit", limit ?? 1, 1...1_000_000_000),
            ("samples", samples, 1...CacheSignals.mostSamples),
        ]
        for (name, value, range) in checks where !range.contains(value) {
            throw ExtractError(
                .badSetting,
                "extract.\(name)",
                "\(value) is out of range",
                remedy: "Give \(range.lowerBound) to \(range.upperBound)"
            )
        }
        guard hiddenLayers.count <= CacheSignals.mostLayers,
            Set(hiddenLayers).count == hiddenLayers.count, hiddenLayers.allSatisfy({ $0 >= 0 })
        else {
            throw ExtractError(
                .badSetting,
                "extract.hidden_layers",
                "\(hiddenLayers) has a layer twice, a negative one, or too many",
                remedy: "Give at most \(CacheSignals.mostLayers) different layers"
            )
        }
        guard maxPromptLength < maxLength else {
            throw ExtractError(
                .badSetting,
                "extract.max_prompt_length",
                "\(maxPromptLength) leaves no room in max_length \(maxLength)",
                remedy: "Make max_length larger"
            )
        }
    }
}

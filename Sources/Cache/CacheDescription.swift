import Foundation

/// Everything that must agree between two runs that fill the same cache.
public struct CacheDescription: Codable, Sendable, Equatable {
    /// The newest version that this code writes and reads; it reads every older one.
    public static let currentFormatVersion = 3

    /// The model that was run.
    public struct Teacher: Codable, Sendable, Equatable {
        /// A person's name for it.
        public var name: String
        /// Architecture, as in `config.json` or GGUF.
        public var architecture: String
        /// Width D of the hidden states.
        public var hiddenSize: Int
        /// Rows V of the head.
        public var vocabularySize: Int
        /// SHA-256 of the weights.
        public var weightsSHA256: String
        /// Number type of the teacher's products, such as `f32` or `bf16`.
        public var computeType: String
        /// Cap of its logits: logits = cap x tanh(logits / cap); nil where there is none.
        public var logitSoftCap: Float?

        /// A teacher of these properties.
        public init(
            name: String,
            architecture: String,
            hiddenSize: Int,
            vocabularySize: Int,
            weightsSHA256: String,
            computeType: String,
            logitSoftCap: Float? = nil
        ) {
            self.name = name
            self.architecture = architecture
            self.hiddenSize = hiddenSize
            self.vocabularySize = vocabularySize
            self.weightsSHA256 = weightsSHA256
            self.computeType = computeType
            self.logitSoftCap = logitSoftCap
        }
    }

    /// Most caches that one can be made from.
    public static let mostOrigins = 4096

    /// What turned text into ids.
    public struct Tokenizer: Codable, Sendable, Equatable {
        /// Fingerprint of the tokenizer.
        public var fingerprint: String
        /// Id of the end token.
        public var eos: Int

        /// A tokenizer of this fingerprint.
        public init(fingerprint: String, eos: Int) {
            self.fingerprint = fingerprint
            self.eos = eos
        }
    }

    /// The examples.
    public struct Dataset: Codable, Sendable, Equatable {
        /// Last component of the path: where it lay is nobody's business.
        public var name: String
        /// SHA-256 of the file.
        public var sha256: String
        /// SHA-256 over ids and splits of the examples, in order; empty where it is not known.
        ///
        /// The same file gives other examples under other field names or splits.
        public var examplesSHA256: String

        private enum CodingKeys: String, CodingKey {
            case name, sha256, examplesSHA256
        }

        /// A dataset of this name and content.
        public init(name: String, sha256: String, examplesSHA256: String = "") {
            self.name = name
            self.sha256 = sha256
            self.examplesSHA256 = examplesSHA256
        }

        /// `examplesSHA256` of these examples.
        public static func fingerprint(of examples: [(id: String, split: String)]) -> String {
            let lines = examples.map { "\($0.id) \($0.split)\n" }
            return Cache.sha256(of: Data(lines.joined().utf8))
        }

        /// Caches made before `examplesSHA256` do not have it.
        public init(from decoder: any Decoder) throws {
            let c = try decoder.container(keyedBy: CodingKeys.self)
            name = try c.decode(String.self, forKey: .name)
            sha256 = try c.decode(String.self, forKey: .sha256)
            examplesSHA256 = try c.decodeIfPresent(String.self, forKey: .examplesSHA256) ?? ""
        }

        /// Leaves out an empty `examplesSHA256`, so that the text of older manifests stays what it was.
        public func encode(to encoder: any Encoder) throws {
            var c = encoder.container(keyedBy: CodingKeys.self)
            try c.encode(name, forKey: .name)
            try c.encode(sha256, forKey: .sha256)
            if !examplesSHA256.isEmpty { try c.encode(examplesSHA256, forKey: .examplesSHA256) }
        }
    }

    /// Version of the format.
    public var formatVersion: Int
    /// The model that was run.
    public var teacher: Teacher
    /// What turned text into ids.
    public var tokenizer: Tokenizer
    /// Name of the prompt template.
    public var template: String
    /// The examples.
    public var dataset: Dataset
    /// Longest prompt in tokens.
    public var maxPromptLength: Int
    /// Longest sequence in tokens.
    public var maxLength: Int
    /// Entries of each row's top-k; 0 stores no logits.
    public var topK: Int
    /// Which examples go to which shard, as the planner writes it: records of each shard in order.
    public var shardPlan: [Int]
    /// Left out of the text where they are those of version 1, which stays what it was.
    private var extra: CacheSignals?
    /// Left out of the text where it is LZ4, which versions 1 and 2 know alone.
    private var packing: CacheCompression?
    /// Left out where there are none.
    private var madeFrom: [String]?

    /// The other signals of each row.
    public var signals: CacheSignals { extra ?? CacheSignals() }
    /// What the shards are packed for.
    public var compression: CacheCompression { packing ?? .lz4 }
    /// `contentSHA256` of the caches that this one was made from by `retort cache`, not by an extraction.
    public var origins: [String] { madeFrom ?? [] }
    /// Whether anything was stored that was made from logits.
    public var hasLogits: Bool {
        topK > 0 || signals.samples > 0 || signals.fullLogits != nil
    }

    private enum CodingKeys: String, CodingKey {
        case formatVersion, teacher, tokenizer, template, dataset, maxPromptLength, maxLength, topK
        case shardPlan
        case extra = "signals"
        case packing = "compression"
        case madeFrom = "origins"
    }

    /// A description of these parts, of the newest version.
    public init(
        teacher: Teacher,
        tokenizer: Tokenizer,
        template: String,
        dataset: Dataset,
        maxPromptLength: Int,
        maxLength: Int,
        topK: Int,
        shardPlan: [Int],
        signals: CacheSignals = CacheSignals(),
        compression: CacheCompression = .lz4,
        origins: [String] = []
    ) {
        extra = signals == CacheSignals() ? nil : signals
        packing = compression == .lz4 ? nil : compression
        madeFrom = origins.isEmpty ? nil : origins
        formatVersion = Self.currentFormatVersion
        self.teacher = teacher
        self.tokenizer = tokenizer
        self.template = template
        self.dataset = dataset
        self.maxPromptLength = maxPromptLength
        self.maxLength = maxLength
        self.topK = topK
        self.shardPlan = shardPlan
    }

    /// The settings in which `self` and `other` differ: `key: mine, not theirs`.
    ///
    /// - Parameter ignored: Settings that may differ, or whole groups of them.
    public func differences(from other: CacheDescription, ignoring ignored: [String] = [])
        -> [String]
    {
        let mine = flat.filter { key, _ in
            !ignored.contains { key == $0 || key.hasPrefix($0 + ".") }
        }
        return CacheSignals.differences(mine, other.flat)
    }

    /// The same teacher and settings over other examples, or stored in another way.
    func derived(
        dataset: Dataset? = nil,
        topK: Int? = nil,
        shardPlan: [Int],
        signals: CacheSignals? = nil,
        compression: CacheCompression? = nil,
        origins: [String]
    ) -> CacheDescription {
        CacheDescription(
            teacher: teacher,
            tokenizer: tokenizer,
            template: template,
            dataset: dataset ?? self.dataset,
            maxPromptLength: maxPromptLength,
            maxLength: maxLength,
            topK: topK ?? self.topK,
            shardPlan: shardPlan,
            signals: signals ?? self.signals,
            compression: compression ?? self.compression,
            origins: origins
        )
    }

    /// The same as an older version of the format writes it; nil where that has no room for it.
    func version(_ version: Int) -> CacheDescription? {
        var older = self
        older.formatVersion = version
        return version < formatVersion && older.fault == nil ? older : nil
    }

    /// From which codecs arrays of a type take the one that packs them best.
    func codecs(_ type: ElementType) -> [ChunkCodec] {
        formatVersion < 3 ? [.original(type)] : ChunkCodec.candidates(compression, type)
    }

    /// What is out of bounds in the parts that version 1 does not have; nil when nothing is.
    var fault: String? {
        if let fault = signals.fault { return fault }
        if let cap = teacher.logitSoftCap, !(cap.isFinite && cap > 0) {
            return "logitSoftCap is \(cap)"
        }
        guard formatVersion > 1 || (extra == nil && teacher.logitSoftCap == nil) else {
            return "format version \(formatVersion) has no such signals"
        }
        guard formatVersion > 2 || (packing == nil && madeFrom == nil) else {
            return "format version \(formatVersion) has no compression or origins"
        }
        let isHex = { (text: String) in text.count == 64 && text.allSatisfy(\.isHexDigit) }
        guard formatVersion > 0, origins.count <= Self.mostOrigins, origins.allSatisfy(isHex) else {
            return "formatVersion is \(formatVersion), or the origins are not SHA-256"
        }
        return nil
    }

    /// One entry per setting, for comparison.
    private var flat: [String: String] {
        let own = [
            "formatVersion": "\(formatVersion)",
            "teacher.name": teacher.name,
            "teacher.architecture": teacher.architecture,
            "teacher.hiddenSize": "\(teacher.hiddenSize)",
            "teacher.vocabularySize": "\(teacher.vocabularySize)",
            "teacher.weightsSHA256": teacher.weightsSHA256,
            "teacher.computeType": teacher.computeType,
            "tokenizer.fingerprint": tokenizer.fingerprint,
            "tokenizer.eos": "\(tokenizer.eos)",
            "template": template,
            "dataset.name": dataset.name,
            "dataset.sha256": dataset.sha256,
            "dataset.examplesSHA256": dataset.examplesSHA256,
            "maxPromptLength": "\(maxPromptLength)",
            "maxLength": "\(maxLength)",
            "topK": "\(topK)",
            "shardPlan": "\(shardPlan)",
            "teacher.logitSoftCap": teacher.logitSoftCap.map { "\($0)" } ?? "none",
            "compression": compression.rawValue,
            "origins": origins.isEmpty ? "none" : origins.joined(separator: ", "),
        ]
        return own.merging(signals.flat) { mine, _ in mine }
    }
}

/// What a cache stores of the teacher beside the top-k entries; left as it is, the cache is of
/// format version 1.
public struct CacheSignals: Codable, Sendable, Equatable {
    /// How hidden states are stored.
    public enum HiddenType: String, Codable, Sendable, CaseIterable {
        /// Two bytes, eight bits of precision.
        case bf16
        /// Two bytes, eleven bits of precision, nothing beyond 65,504.
        case f16
        /// As the teacher computed them.
        case f32
        /// One byte, with a scale for each channel and one for each row.
        case int8
    }

    /// How whole rows of logits are stored.
    public enum LogitType: String, Codable, Sendable, CaseIterable {
        /// Two bytes, eight bits of precision.
        case bf16
        /// Two bytes, eleven bits of precision.
        case f16
    }

    /// Which positions of a sequence have rows.
    public enum Positions: String, Codable, Sendable, CaseIterable {
        /// Those whose next token belongs to the response.
        case supervised
        /// Every token's.
        case all
    }

    /// How hidden states are stored.
    public var hiddenType: HiddenType
    /// Layers stored beside the final one, ascending: 0 is the embedding, i the output of block i.
    public var hiddenLayers: [Int]
    /// Which positions have rows.
    public var positions: Positions
    /// Draws from each row's distribution at temperature 1; 0 stores none.
    public var samples: Int
    /// Decides the draws, together with a record's id and the position.
    public var sampleSeed: UInt64
    /// The type of whole rows of log-probabilities; nil stores none.
    public var fullLogits: LogitType?

    /// Signals of these parts; the defaults are what format version 1 stores.
    public init(
        hiddenType: HiddenType = .bf16,
        hiddenLayers: [Int] = [],
        positions: Positions = .supervised,
        samples: Int = 0,
        sampleSeed: UInt64 = 0,
        fullLogits: LogitType? = nil
    ) {
        self.hiddenType = hiddenType
        self.hiddenLayers = hiddenLayers
        self.positions = positions
        self.samples = samples
        self.sampleSeed = sampleSeed
        self.fullLogits = fullLogits
    }

    /// Rows that share one scale for each channel when hidden states are int8.
    public static let rowsOfAScale = 2048
    /// Most layers beside the final one.
    public static let mostLayers = 16
    /// Most draws of a row: counts are u16.
    public static let mostSamples = 65_535

    /// What is out of bounds; nil when nothing is.
    var fault: String? {
        guard hiddenLayers.count <= Self.mostLayers,
            hiddenLayers.allSatisfy((0..<65_536).contains),
            zip(hiddenLayers, hiddenLayers.dropFirst()).allSatisfy({ $0 < $1 })
        else { return "hiddenLayers \(hiddenLayers) are too many, or not ascending" }
        guard (0...Self.mostSamples).contains(samples) else { return "samples is \(samples)" }
        return nil
    }

    /// The settings in which `self` and `other` differ: `key: mine, not theirs`.
    public func differences(from other: CacheSignals) -> [String] {
        Self.differences(flat, other.flat)
    }

    /// Entries of the same settings that differ, in words.
    static func differences(_ mine: [String: String], _ theirs: [String: String]) -> [String] {
        mine.sorted { $0.key < $1.key }.compactMap { key, mine in
            mine == theirs[key] ? nil : "\(key): \(mine) here, \(theirs[key] ?? "") there"
        }
    }

    /// One entry per setting, for comparison.
    var flat: [String: String] {
        [
            "hiddenType": hiddenType.rawValue,
            "hiddenLayers": "\(hiddenLayers)",
            "positions": positions.rawValue,
            "samples": "\(samples)",
            "sampleSeed": "\(sampleSeed)",
            "fullLogits": fullLogits?.rawValue ?? "none",
        ]
    }
}

/// Signals that a reader gives only when they are asked for.
public struct ExtraSignals: Sendable, Equatable {
    /// Layers beside the final one.
    public var hiddenLayers: [Int]
    /// The drawn tokens.
    public var samples: Bool
    /// Whole rows of log-probabilities.
    public var fullLogits: Bool
    /// The rows of every token, where the cache has them, and not of the supervised ones alone.
    public var allPositions: Bool

    /// Nothing unless named.
    public init(
        hiddenLayers: [Int] = [],
        samples: Bool = false,
        fullLogits: Bool = false,
        allPositions: Bool = false
    ) {
        self.hiddenLayers = hiddenLayers
        self.samples = samples
        self.fullLogits = fullLogits
        self.allPositions = allPositions
    }

    /// The first signal that a cache so described does not have, in words; nil when it has all.
    func missing(in signals: CacheSignals) -> String? {
        if let layer = hiddenLayers.first(where: { !signals.hiddenLayers.contains($0) }) {
            return "hidden states of layer \(layer) (extract.hidden_layers)"
        }
        if samples, signals.samples == 0 { return "sampled logits (extract.logits: sampled)" }
        if fullLogits, signals.fullLogits == nil { return "full logits (extract.logits: full)" }
        if allPositions, signals.positions != .all {
            return "rows of all positions (extract.positions: all)"
        }
        return nil
    }
}

/// Tokens drawn with replacement from the distribution of each row.
public struct SampledTokens: Sendable, Equatable {
    /// (rows + 1) where each row's entries begin, and the end.
    public var offsets: [Int]
    /// The tokens drawn, each once in a row, ascending in a row.
    public var ids: [UInt32]
    /// How often each was drawn; a row's add up to the number of draws.
    public var counts: [UInt16]

    /// Tokens of these rows; checked when they are stored.
    public init(offsets: [Int] = [0], ids: [UInt32] = [], counts: [UInt16] = []) {
        self.offsets = offsets
        self.ids = ids
        self.counts = counts
    }

    /// What is wrong with them as `rows` rows of `draws` draws from `vocabulary` tokens.
    func fault(rows: Int, draws: Int, vocabulary: Int) -> String? {
        guard offsets.count == rows + 1, offsets.first == 0, offsets.last == ids.count,
            counts.count == ids.count, zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 })
        else { return "the sampled tokens are not cut into \(rows) rows" }
        for (start, end) in zip(offsets, offsets.dropFirst()) {
            var sum = 0
            var last = -1
            for entry in start..<end {
                guard Int(ids[entry]) > last, Int(ids[entry]) < vocabulary, counts[entry] > 0
                else { return "sampled token \(ids[entry]) is out of order or of no use" }
                last = Int(ids[entry])
                sum += Int(counts[entry])
            }
            guard sum == draws else { return "a row has \(sum) sampled tokens, not \(draws)" }
        }
        return nil
    }

    /// The entries of some rows.
    public func slice(rows: Range<Int>) -> SampledTokens {
        let (start, end) = (offsets[rows.lowerBound], offsets[rows.upperBound])
        return SampledTokens(
            offsets: offsets[rows.lowerBound...rows.upperBound].map { $0 - start },
            ids: Array(ids[start..<end]),
            counts: Array(counts[start..<end])
        )
    }
}

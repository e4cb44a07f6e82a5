import Cache

/// A way to store what the teacher says about the next token.
public enum LogitSignal: String, Codable, Sendable, CaseIterable {
    /// Nothing beside the final hidden state: with the head it gives all logits.
    case exact
    /// The most likely tokens.
    case topK = "topk"
    /// Tokens drawn from the distribution.
    case sampled
    /// Every token's log-probability.
    case full
}

extension ExtractSettings {
    /// Entries of each row's top-k in the cache.
    public var storedTopK: Int { logits.contains(.topK) ? topK : 0 }

    /// Whether anything is stored that is made from logits.
    var storesLogits: Bool {
        storedTopK > 0 || logits.contains(.sampled) || logits.contains(.full)
    }

    /// The other signals of the cache; numbers that do not matter are those of the default.
    public var signals: CacheSignals {
        CacheSignals(
            hiddenType: hiddenType,
            hiddenLayers: hiddenLayers.sorted(),
            positions: positions,
            samples: logits.contains(.sampled) ? samples : 0,
            sampleSeed: logits.contains(.sampled) ? sampleSeed : 0,
            fullLogits: logits.contains(.full) ? logitsType : nil
        )
    }

    /// Bytes of one row's hidden states before compression.
    func hiddenRowBytes(_ width: Int) -> Int {
        let each =
            switch hiddenType {
            case .bf16, .f16: 2 * width
            case .f32: 4 * width
            // A scale of its own, and its share of those of the channels.
            case .int8: width + 2 + width / 512
            }
        return each * (1 + hiddenLayers.count)
    }

    /// Bytes of what one row has of its logits: at most so many, where tokens are drawn.
    func logitRowBytes(vocabularySize: Int) -> Int {
        guard storesLogits else { return 0 }
        let drawn = logits.contains(.sampled) ? 8 + 6 * min(samples, vocabularySize) : 0
        let full = logits.contains(.full) ? 2 * vocabularySize : 0
        return 6 * storedTopK + 4 + drawn + full
    }

    /// Bytes that a row counts in the plan of shards.
    func rowBytes(hiddenSize: Int, vocabularySize: Int) -> Int {
        // The plan always counted the log-partition, and the plan of a cache must not change.
        hiddenRowBytes(hiddenSize) + max(4, logitRowBytes(vocabularySize: vocabularySize))
    }

    /// Decodes what says which signals are stored; `logits` is one word or a list.
    mutating func decodeSignals(_ c: KeyedDecodingContainer<CodingKeys>) throws {
        if let words = try? c.decodeIfPresent([String].self, forKey: .logits) {
            logits = try words.map { try Self.choice($0, .logits, c) }
        } else if let word = try c.decodeIfPresent(String.self, forKey: .logits) {
            logits = [try Self.choice(word, .logits, c)]
        }
        samples = try c.decodeIfPresent(Int.self, forKey: .samples) ?? samples
        sampleSeed = try c.decodeIfPresent(UInt64.self, forKey: .sampleSeed) ?? sampleSeed
        hiddenLayers = try c.decodeIfPresent([Int].self, forKey: .hiddenLayers) ?? hiddenLayers
        if let word = try c.decodeIfPresent(String.self, forKey: .logitsType) {
            logitsType = try Self.choice(word, .logitsType, c)
        }
        if let word = try c.decodeIfPresent(String.self, forKey: .hiddenType) {
            hiddenType = try Self.choice(word, .hiddenType, c)
        }
        if let word = try c.decodeIfPresent(String.self, forKey: .compression) {
            compression = try Self.choice(word, .compression, c)
        }
        if let word = try c.decodeIfPresent(String.self, forKey: .positions) {
            positions = try Self.choice(word, .positions, c)
        }
    }

    private static func choice<T: RawRepresentable<String> & CaseIterable>(
        _ word: String,
        _ key: CodingKeys,
        _ c: KeyedDecodingContainer<CodingKeys>
    ) throws -> T {
        if let value = T(rawValue: word) { return value }
        let known = T.allCases.map(\.rawValue).joined(separator: ", ")
        throw DecodingError.dataCorruptedError(
            forKey: key,
            in: c,
            debugDescription: "expected one of \(known)"
        )
    }
}

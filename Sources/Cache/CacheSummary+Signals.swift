extension CacheSummary {
    /// What is stored of the teacher for each row: one or a few arrays over all shards.
    public struct Signal: Codable, Sendable, Equatable {
        /// In words: which, and how it is stored.
        public var name: String
        /// The arrays that it consists of.
        public var arrays: [String]
        /// Bytes of their elements.
        public var rawBytes: Int
        /// Bytes on disk.
        public var storedBytes: Int
        /// Bytes on disk for each row.
        public var storedBytesPerRow: Double
    }

    /// The signals that a cache so described has, with the arrays of each.
    static func signals(_ description: CacheDescription) -> [(name: String, arrays: [String])] {
        let signals = description.signals
        let type = signals.hiddenType
        func hidden(_ name: String) -> [String] {
            let scales = [ShardFormat.channelScale(name), ShardFormat.rowScale(name)]
            return [name] + (type == .int8 ? scales : [])
        }
        var result = [("final hidden states, \(type.rawValue)", hidden(ShardFormat.hidden))]
        for layer in signals.hiddenLayers {
            result.append(
                (
                    "hidden states of layer \(layer), \(type.rawValue)",
                    hidden(ShardFormat.layer(layer))
                )
            )
        }
        if description.topK > 0 {
            result.append(
                (
                    "top \(description.topK) log-probabilities",
                    [ShardFormat.topKIDs, ShardFormat.topKLogProbs]
                )
            )
        }
        if signals.samples > 0 {
            result.append(
                (
                    "\(signals.samples) sampled tokens, seed \(signals.sampleSeed)",
                    [ShardFormat.sampleOffsets, ShardFormat.sampleIDs, ShardFormat.sampleCounts]
                )
            )
        }
        if let full = signals.fullLogits {
            result.append(
                ("all log-probabilities, \(full.rawValue)", [ShardFormat.fullLogProbs])
            )
        }
        if description.hasLogits { result.append(("log-partitions", [ShardFormat.logPartition])) }
        return result
    }
}

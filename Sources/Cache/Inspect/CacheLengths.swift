/// How long the sequences of a cache are, and how many rows they have: from its shards.
public struct CacheLengths: Codable, Sendable, Equatable {
    /// Tokens of each example.
    public var tokens: Histogram
    /// Rows of each example: its supervised positions, or all of them.
    public var rows: Histogram
    /// Shards that were looked at.
    public var shardsRead: Int
    /// Shards that there are.
    public var shards: Int

    /// Looks at some shards, evenly spread, or all; only their small arrays are read, but each
    /// file's SHA-256 is compared as always.
    ///
    /// - Parameters:
    ///   - reader: The cache.
    ///   - most: Shards to look at; nil looks at all.
    ///   - progress: Told after each shard how many of how many are done.
    ///   - shouldStop: Asked before each shard.
    /// - Returns: nil when it was stopped.
    /// - Throws: `CacheError` for a missing or damaged shard.
    public static func read(
        _ reader: CacheReader,
        shards most: Int?,
        progress: (Int, Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> CacheLengths? {
        let chosen = spread(most ?? reader.shardCount, over: reader.shardCount)
        let hasAllRows = reader.manifest.description.signals.positions == .all
        var tokens: [Int: Int] = [:]
        var rows: [Int: Int] = [:]
        for (done, index) in chosen.enumerated() {
            if shouldStop() { return nil }
            let shard = try reader.shard(index)
            for length in shard.lengths { tokens[length, default: 0] += 1 }
            for count in hasAllRows ? shard.lengths : shard.rowCounts {
                rows[count, default: 0] += 1
            }
            progress(done + 1, chosen.count)
        }
        return CacheLengths(
            tokens: Histogram(tokens),
            rows: Histogram(rows),
            shardsRead: chosen.count,
            shards: reader.shardCount
        )
    }

    /// At most `count` of the numbers below `total`, evenly spread, the first among them.
    static func spread(_ count: Int, over total: Int) -> [Int] {
        let count = min(max(0, count), total)
        return (0..<count).map { $0 * total / count }
    }

    /// Both histograms for a terminal.
    public var table: String {
        let part = shardsRead < shards ? " (\(shardsRead) of \(shards) shards; --all for all)" : ""
        return (tokens.lines("tokens per example\(part)") + [""] + rows.lines("rows per example"))
            .joined(separator: "\n")
    }
}

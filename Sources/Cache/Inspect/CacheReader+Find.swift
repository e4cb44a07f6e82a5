extension CacheReader {
    /// Where an example is.
    public struct Place: Sendable, Equatable {
        /// Number of the shard.
        public var shard: Int
        /// Number of the record in it.
        public var record: Int
    }

    /// Where example `number` is, counted from 0 through all shards in order; opens none.
    ///
    /// - Returns: nil when the cache has not so many.
    public func place(ofExample number: Int) -> Place? {
        guard number >= 0 else { return nil }
        var rest = number
        for shard in manifest.shards {
            if rest < shard.records { return Place(shard: shard.index, record: rest) }
            rest -= shard.records
        }
        return nil
    }

    /// Where the example with the id `id` is; opens shards one after the other until it is found.
    ///
    /// - Returns: nil when there is no such example, or when it was stopped.
    /// - Throws: `CacheError` for a missing or damaged shard.
    public func place(
        ofID id: String,
        progress: (Int, Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Place? {
        for index in 0..<shardCount where !shouldStop() {
            if let record = try shard(index).ids.firstIndex(of: id) {
                return Place(shard: index, record: record)
            }
            progress(index + 1, shardCount)
        }
        return nil
    }
}

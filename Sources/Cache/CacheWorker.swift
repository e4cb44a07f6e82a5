/// One of several processes that fill a cache together, each with its share of the shards.
public struct CacheWorker: Sendable, Equatable, CustomStringConvertible {
    /// From 0.
    public let index: Int
    /// How many there are.
    public let count: Int

    /// Nil unless 0 <= index < count.
    public init?(index: Int, count: Int) {
        guard count > 0, (0..<count).contains(index) else { return nil }
        self.index = index
        self.count = count
    }

    /// Whether `shard` is dealt to this worker: every `count`th one.
    public func isDealt(_ shard: Int) -> Bool { shard % count == index }

    /// "worker 3 of 8", where 3 is `index`.
    public var description: String { "worker \(index) of \(count)" }
}

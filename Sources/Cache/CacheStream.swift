import Foundation

/// A batch of examples, not padded.
public struct CacheBatch: Sendable, Equatable {
    /// The epoch it belongs to.
    public var epoch: Int
    /// Its number in the epoch, from 0.
    public var index: Int
    /// The examples.
    public var records: [CacheRecord]
    /// Tokens of all sequences.
    public var tokens: Int { records.reduce(0) { $0 + $1.tokenIDs.count } }
    /// Supervised positions of all examples.
    public var rows: Int { records.reduce(0) { $0 + $1.rows } }
}

/// Serves one split of a cache in shuffled batches, in memory that does not grow with the cache.
public final class CacheStream: Sendable {
    /// When a batch is full.
    public enum BatchSize: Sendable, Equatable {
        /// So many examples (the last batch of an epoch may have fewer).
        case examples(Int)
        /// As many examples as fit into so many tokens, at least one.
        case tokens(Int)
    }

    /// The split.
    public let split: String
    /// Examples in an epoch.
    public let exampleCount: Int

    private let reader: CacheReader
    private let seed: UInt64
    private let window: Int
    private let size: BatchSize
    private let prefetch: Int
    private let hidden: Bool
    private let logits: Bool
    private let extra: ExtraSignals

    /// A stream over `split`.
    ///
    /// - Parameters:
    ///   - seed: With the epoch, decides the order.
    ///   - window: Examples shuffled among each other; larger mixes better, smaller reads nearer
    ///     places of the disk.
    ///   - batch: When a batch is full.
    ///   - prefetch: Batches read ahead by a background thread; they are all that is held.
    ///   - hidden: False leaves the hidden states out.
    ///   - logits: False leaves the top-k entries out.
    ///   - extra: What else to read.
    /// - Throws: `CacheError.missing` when the cache has no such split or signal.
    public init(
        reader: CacheReader,
        split: String,
        seed: UInt64,
        window: Int = 8192,
        batch: BatchSize,
        prefetch: Int = 4,
        hidden: Bool = true,
        logits: Bool = true,
        extra: ExtraSignals = ExtraSignals()
    ) throws {
        try reader.manifest.description.require(extra, path: reader.directory.path)
        exampleCount = reader.recordCount(split: split)
        guard exampleCount > 0 else {
            let names = reader.manifest.splits.keys.sorted().joined(separator: ", ")
            throw CacheError(
                .missing,
                path: reader.directory.path,
                "no split '\(split)'",
                remedy: "The cache has: \(names)."
            )
        }
        self.reader = reader
        self.split = split
        self.seed = seed
        self.window = window
        self.size = batch
        self.prefetch = max(1, prefetch)
        self.hidden = hidden
        self.logits = logits
        self.extra = extra
    }

    /// The batches of `epoch` from number `start` on: always the same for the same arguments.
    public func batches(epoch: Int, startingAt start: Int = 0) -> CacheBatchIterator {
        CacheBatchIterator(capacity: prefetch) { deliver in
            try self.produce(epoch: epoch, from: start, deliver: deliver)
        }
    }

    /// Number of batches in `epoch`; depends on the epoch when batches are filled by tokens.
    public func batchCount(epoch: Int) throws -> Int {
        if case .examples(let n) = size { return (exampleCount + max(1, n) - 1) / max(1, n) }
        var count = 0
        try plan(epoch: epoch) { _, _ in
            count += 1
            return true
        }
        return count
    }

    /// Calls `deliver` for each batch until it returns false.
    private func produce(epoch: Int, from start: Int, deliver: (CacheBatch) -> Bool) throws {
        try plan(epoch: epoch) { index, places in
            guard index >= start else { return true }
            let records = try places.map {
                try reader.shard($0.shard).record(
                    $0.ordinal,
                    hidden: hidden,
                    logits: logits,
                    extra: extra
                )
            }
            return deliver(CacheBatch(epoch: epoch, index: index, records: records))
        }
    }

    /// Cuts the epoch's order into batches; reads lengths only.
    ///
    /// Ends early when `body` says false.
    private func plan(epoch: Int, _ body: (Int, [CacheOrder.Place]) throws -> Bool) throws {
        let sizes = reader.manifest.shards.map { $0.splits[split] ?? 0 }
        let order = CacheOrder(sizes: sizes, seed: seed, epoch: epoch, window: window)
        var members: [Int: [Int]] = [:]
        var batch: [CacheOrder.Place] = []
        var tokens = 0
        var index = 0
        for window in 0..<order.windows {
            let places = order.places(ofWindow: window)
            // Numbers within a shard of the examples of this split, for the window's shards only.
            let shards = Set(places.map(\.shard))
            members = members.filter { shards.contains($0.key) }
            for shard in shards where members[shard] == nil {
                let splits = try reader.shard(shard).splits
                members[shard] = splits.indices.filter { splits[$0] == split }
            }
            for place in places {
                guard let numbers = members[place.shard], place.ordinal < numbers.count else {
                    throw CacheError.corrupt(
                        reader.directory.path,
                        "shard \(place.shard) has fewer '\(split)' examples than the manifest says"
                    )
                }
                let place = CacheOrder.Place(
                    shard: place.shard,
                    ordinal: numbers[place.ordinal]
                )
                var length = 0
                if case .tokens = size {
                    length = try reader.shard(place.shard).lengths[place.ordinal]
                }
                if isFull(batch.count, tokens, adding: length) {
                    guard try body(index, batch) else { return }
                    index += 1
                    batch = []
                    tokens = 0
                }
                batch.append(place)
                tokens += length
            }
        }
        if !batch.isEmpty { _ = try body(index, batch) }
    }

    private func isFull(_ examples: Int, _ tokens: Int, adding length: Int) -> Bool {
        guard examples > 0 else { return false }
        switch size {
        case .examples(let limit): return examples >= limit
        case .tokens(let limit): return tokens + length > limit
        }
    }
}

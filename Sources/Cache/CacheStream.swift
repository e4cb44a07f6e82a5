import Foundation

/// A batch of examples, not padded.
public struct CacheBatch: Sendable, Equatable {
    /// The epoch it belongs to.
    public var epoch: Int
    /// Its number in the epoch, from 0.
    public var index: Int
    /// The examples.
    public var records: [CacheRecord]
    /// Where to go on after it.
    public var next: CachePosition
    /// Tokens of all sequences.
    public var tokens: Int { records.reduce(0) { $0 + $1.tokenIDs.count } }
    /// Supervised positions of all examples.
    public var rows: Int { records.reduce(0) { $0 + $1.rows } }
}

/// A place in the sequence of batches, the same for every rank: all that is needed to go on from there.
public struct CachePosition: Codable, Sendable, Equatable {
    /// The epoch.
    public var epoch: Int
    /// Number of the next batch of the epoch.
    public var batch: Int
    /// Examples of the epoch that the batches before it have, of all ranks.
    public var example: Int

    /// The place of a batch; that of the first one of an epoch unless said otherwise.
    public init(epoch: Int, batch: Int = 0, example: Int = 0) {
        self.epoch = epoch
        self.batch = batch
        self.example = example
    }
}

/// Serves one split of a cache in shuffled batches, in memory that does not grow with the cache.
///
/// The sequence depends on the cache's sizes, `seed`, the epoch, `window` and the size of a batch alone:
/// neither on memory nor on threads. The ranks of a world take turns at it, so that with batches of n
/// examples W ranks take together, step by step, what one rank would with batches of n x W.
public final class CacheStream: Sendable {
    /// When a batch is full.
    public enum BatchSize: Sendable, Equatable {
        /// So many examples (the last batch of an epoch may have fewer).
        case examples(Int)
        /// As many examples as fit into so many tokens, at least one.
        case tokens(Int)
    }

    /// Which part of each step a process takes.
    public struct Rank: Sendable, Equatable {
        /// From 0.
        public var index: Int
        /// How many there are.
        public var count: Int

        /// The only one, unless said otherwise.
        public init(_ index: Int = 0, of count: Int = 1) {
            precondition(count > 0 && (0..<count).contains(index), "rank \(index) of \(count)")
            self.index = index
            self.count = count
        }
    }

    /// How a stream reads; nothing of it changes the sequence.
    public struct Reading: Sendable, Equatable {
        /// Bytes in memory at the same time: examples that were read and not yet taken, and what it takes
        /// to read them.
        public var memory: Int
        /// Threads that read and unpack.
        public var threads: Int

        /// 512 MiB and up to four threads, unless said otherwise.
        public init(
            memory: Int = 512 << 20,
            threads: Int = min(4, ProcessInfo.processInfo.activeProcessorCount)
        ) {
            self.memory = memory
            self.threads = max(1, threads)
        }
    }

    /// The split.
    public let split: String
    /// Examples in an epoch.
    public let exampleCount: Int

    private let seed: UInt64
    private let window: Int
    /// When a batch is full.
    public let size: BatchSize
    private let rank: Rank
    private let loader: CacheLoader

    /// A stream over `split`.
    ///
    /// - Parameters:
    ///   - seed: With the epoch, decides the order.
    ///   - window: Examples shuffled among each other; larger mixes better, smaller reads nearer
    ///     places of the disk. Nil takes as many as are 256 MiB on average, 256 to 4,096.
    ///   - batch: When a batch is full; with several ranks, the batch of each.
    ///   - rank: Which part of each step this process takes; with several, the last examples of an epoch
    ///     that do not make a whole batch for each are left out.
    ///   - hidden: False leaves the hidden states out.
    ///   - logits: False leaves the top-k entries out.
    ///   - extra: What else to read.
    /// - Throws: `CacheError.missing` when the cache has no such split or signal.
    public init(
        reader: CacheReader,
        split: String,
        seed: UInt64,
        window: Int? = nil,
        batch: BatchSize,
        rank: Rank = Rank(),
        reading: Reading = Reading(),
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
        self.split = split
        self.seed = seed
        self.window = max(
            1,
            window
                ?? CacheLoader.window(reader.manifest, hidden: hidden, logits: logits, extra: extra)
        )
        self.rank = rank
        self.size =
            switch batch {
            case .examples(let count): .examples(max(1, count))
            case .tokens(let count): .tokens(max(1, count))
            }
        loader = CacheLoader(
            reader: reader,
            split: split,
            reading: reading,
            hidden: hidden,
            logits: logits,
            extra: extra
        )
    }

    /// The batches of `epoch` from number `start` on: always the same for the same arguments.
    ///
    /// - Throws: `CacheError` when `start` is to be found by the lengths of examples and a shard cannot
    ///   be read.
    public func batches(epoch: Int, startingAt start: Int = 0) throws -> CacheBatchIterator {
        batches(from: try position(epoch: epoch, batch: start))
    }

    /// The batches of an epoch from `position` on, which an earlier batch had as its `next`.
    public func batches(from position: CachePosition) -> CacheBatchIterator {
        CacheBatchIterator { deliver in try self.produce(position, deliver: deliver) }
    }

    /// Number of batches in `epoch`, the same for every rank; reads the lengths of all examples when
    /// batches are filled by tokens, whose number depends on the epoch.
    public func batchCount(epoch: Int) throws -> Int {
        if case .examples(let n) = size {
            let step = n * rank.count
            return rank.count == 1 ? (exampleCount + step - 1) / step : exampleCount / step
        }
        var count = 0
        try plan(CachePosition(epoch: epoch)) { _, _ in
            count += 1
            return true
        }
        return count
    }

    /// How long an epoch and its batches are, in tokens of the cache.
    public struct EpochSize: Sendable, Equatable {
        /// Batches of this rank.
        public var batches = 0
        /// Tokens of all of them, and of the longest.
        public var tokens = 0
        /// See `tokens`.
        public var longest = 0
    }

    /// The size of `epoch`; reads the lengths of all examples.
    ///
    /// - Throws: `CacheError` when a shard cannot be read.
    public func size(ofEpoch epoch: Int) throws -> EpochSize {
        var size = EpochSize()
        try plan(CachePosition(epoch: epoch)) { step, _ in
            let tokens = try step.places.reduce(0) { try $0 + loader.length($1) }
            size.batches += 1
            size.tokens += tokens
            size.longest = max(size.longest, tokens)
            return true
        }
        return size
    }

    /// Where batch `batch` of `epoch` begins.
    private func position(epoch: Int, batch: Int) throws -> CachePosition {
        if case .examples(let n) = size {
            let example = min(exampleCount, batch * n * rank.count)
            return CachePosition(epoch: epoch, batch: batch, example: example)
        }
        var position = CachePosition(epoch: epoch)
        guard batch > 0 else { return position }
        try plan(position) { step, _ in
            position = step.next
            return position.batch < batch
        }
        guard position.batch == batch else {
            return CachePosition(epoch: epoch, batch: batch, example: exampleCount)
        }
        return position
    }

    // MARK: Making batches

    /// One batch of each rank, of which this one's examples are named.
    struct Step {
        var places: [CacheOrder.Place]
        var next: CachePosition
    }

    /// Reads the steps of one window together, since their examples lie in the same chunks, as far as the
    /// memory goes.
    private func produce(_ start: CachePosition, deliver: (CacheLoad) -> Bool) throws {
        var waiting: [Step] = []
        var bytes = 0
        var last: Int?
        func load() -> Bool {
            defer { (waiting, bytes) = ([], 0) }
            let steps = waiting
            return steps.isEmpty || deliver(CacheLoad { try self.loader.batches(steps) })
        }
        var goesOn = true
        try plan(start) { step, window in
            let more = try loader.bytes(step.places)
            if last != window || bytes + more > loader.budget { goesOn = load() }
            last = window
            waiting.append(step)
            bytes += more
            return goesOn
        }
        if goesOn { _ = load() }
    }

    /// Cuts an epoch's order into steps from `start` on; `body` also gets the window that a step begins
    /// in.
    ///
    /// Reads lengths, and those only where batches are filled by tokens. Ends early when `body` says
    /// false.
    private func plan(_ start: CachePosition, _ body: (Step, _ window: Int) throws -> Bool) throws {
        let order = CacheOrder(
            sizes: loader.sizes,
            seed: seed,
            epoch: start.epoch,
            window: window
        )
        var position = start
        /// Batches of this step, those of the ranks in order.
        var batches: [[CacheOrder.Place]] = [[]]
        var tokens = 0
        var example = start.example
        var firstWindow = order.windowIndex(of: start.example)
        func give() throws -> Bool {
            position.batch += 1
            position.example = example
            let step = Step(places: batches[rank.index], next: position)
            batches = [[]]
            defer { firstWindow = order.windowIndex(of: example) }
            return try body(step, firstWindow)
        }
        guard start.example < order.count else { return }
        for window in order.windowIndex(of: start.example)..<order.windows {
            let skipped = max(0, start.example - order.start(ofWindow: window))
            for place in order.places(ofWindow: window).dropFirst(skipped) {
                var length = 0
                if case .tokens = size { length = try loader.length(place) }
                if isFull(batches[batches.count - 1].count, tokens, adding: length) {
                    if batches.count == rank.count {
                        guard try give() else { return }
                    } else {
                        batches.append([])
                    }
                    tokens = 0
                }
                batches[batches.count - 1].append(place)
                tokens += length
                example += 1
            }
        }
        // A last step has a batch for each rank, which a full one of examples is only now.
        let isWhole =
            if case .examples(let n) = size { batches[batches.count - 1].count == n } else { true }
        guard batches.count == rank.count, rank.count == 1 || isWhole,
            !batches[batches.count - 1].isEmpty
        else { return }
        _ = try give()
    }

    private func isFull(_ examples: Int, _ tokens: Int, adding length: Int) -> Bool {
        guard examples > 0 else { return false }
        switch size {
        case .examples(let limit): return examples >= limit
        case .tokens(let limit): return tokens + length > limit
        }
    }
}

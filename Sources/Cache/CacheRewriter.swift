import Foundation

/// Writes records of a finished cache into a new one: some of them, or stored in another way.
///
/// The new cache depends on the old one and the arguments alone. It is written shard by shard; the same
/// call goes on where one was stopped.
public final class CacheRewriter {
    /// A record of the source.
    public struct Place: Sendable, Equatable {
        /// Its shard, from 0.
        public var shard: Int
        /// Its number in the shard.
        public var record: Int
    }

    /// How the new cache stores what the old one has; nil leaves a part as it is.
    public struct Storage: Sendable, Equatable {
        /// Entries of each row's top-k.
        public var topK: Int?
        /// The other signals.
        public var signals: CacheSignals?
        /// What the shards are packed for.
        public var compression: CacheCompression?

        /// As it is, unless said otherwise.
        public init(
            topK: Int? = nil,
            signals: CacheSignals? = nil,
            compression: CacheCompression? = nil
        ) {
            self.topK = topK
            self.signals = signals
            self.compression = compression
        }
    }

    /// Makes what the source lacks, of some records at a time; they come with all that is to be stored
    /// and is there.
    public typealias Completion = ([CacheRecord]) throws -> [CacheRecord]

    /// What the new cache is made from.
    public let description: CacheDescription
    /// Records that will be written.
    public var count: Int { places.count }

    private let reader: CacheReader
    private let places: [Place]
    private let complete: Completion
    /// Of the shards to be: about as many bytes as the extraction makes them by default.
    private static let shardBytes = 256 << 20
    /// Records completed in one go.
    private static let batch = 32

    /// - Parameters:
    ///   - places: The records in their new order; nil takes all.
    ///   - complete: Called for every record when it is given.
    /// - Throws: `CacheError.mismatch` when `storage` wants what neither the source nor `complete` has.
    public init(
        _ reader: CacheReader,
        places: [Place]? = nil,
        storage: Storage = Storage(),
        complete: Completion? = nil
    ) throws {
        let source = reader.manifest.description
        self.reader = reader
        self.complete = complete ?? { $0 }
        let signals = storage.signals ?? source.signals
        let topK = storage.topK ?? source.topK
        try Self.require(topK, signals, in: source, isCompleted: complete != nil, reader)
        var all: [Place] = []
        var examples: [(id: String, split: String)] = []
        let wanted = places ?? Self.allPlaces(reader.manifest)
        for place in wanted {
            let shard = try reader.shard(place.shard)
            examples.append((shard.ids[place.record], shard.splits[place.record]))
            all.append(place)
        }
        self.places = all
        var dataset = source.dataset
        dataset.examplesSHA256 = CacheDescription.Dataset.fingerprint(of: examples)
        description = source.derived(
            dataset: dataset,
            topK: topK,
            shardPlan: try Self.plan(all, reader, topK: topK, signals: signals),
            signals: signals,
            compression: storage.compression,
            origins: [reader.contentSHA256]
        )
    }

    /// Every record of a cache, in order.
    public static func allPlaces(_ manifest: CacheManifest) -> [Place] {
        manifest.shards.enumerated().flatMap { shard, entry in
            (0..<entry.records).map { Place(shard: shard, record: $0) }
        }
    }

    private static func require(
        _ topK: Int,
        _ signals: CacheSignals,
        in source: CacheDescription,
        isCompleted: Bool,
        _ reader: CacheReader
    ) throws {
        func refuse(_ what: String) -> CacheError {
            CacheError(
                .mismatch,
                path: reader.directory.path,
                "the cache has no \(what)",
                remedy: "Extract into another directory with that setting."
            )
        }
        if signals.positions == .all, source.signals.positions != .all {
            throw refuse("rows of all positions")
        }
        if let layer = signals.hiddenLayers.first(where: {
            !source.signals.hiddenLayers.contains($0)
        }) {
            throw refuse("hidden states of layer \(layer)")
        }
        guard !isCompleted else { return }
        if topK > source.topK { throw refuse("top \(topK), but \(source.topK)") }
        if signals.samples != source.signals.samples, signals.samples > 0 {
            throw refuse("\(signals.samples) sampled tokens")
        }
        if signals.fullLogits != nil, source.signals.fullLogits == nil {
            throw refuse("full logits")
        }
    }

    /// Cuts the records into shards by the bytes that they have raw.
    private static func plan(
        _ places: [Place],
        _ reader: CacheReader,
        topK: Int,
        signals: CacheSignals
    ) throws -> [Int] {
        let teacher = reader.manifest.description.teacher
        let perState = signals.hiddenType.element.size * teacher.hiddenSize
        let perRow =
            perState * (1 + signals.hiddenLayers.count) + 6 * topK + 4
            + 6 * min(signals.samples, teacher.vocabularySize)
            + (signals.fullLogits == nil ? 0 : 2 * teacher.vocabularySize)
        var plan: [Int] = []
        var bytes = 0
        for place in places {
            let shard = try reader.shard(place.shard)
            let tokens = shard.lengths[place.record]
            let rows = signals.positions == .all ? tokens : shard.rowCounts[place.record]
            let more = rows * perRow + 8 * tokens
            if plan.isEmpty || bytes + more > shardBytes {
                plan.append(0)
                bytes = 0
            }
            plan[plan.count - 1] += 1
            bytes += more
        }
        return plan
    }

    /// Writes what is not there yet.
    ///
    /// - Parameters:
    ///   - progress: Called after some records with the number done, of all.
    ///   - shouldStop: Asked as often.
    /// - Returns: False when stopped.
    /// - Throws: `CacheError`: `mismatch` when `output` holds something else.
    public func write(
        to output: URL,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Bool {
        try CacheWriter.requireFree(output)
        let writer = try CacheWriter(
            directory: output,
            description: description,
            plannedShards: description.shardPlan.count
        )
        if !writer.hasTeacher {
            try reader.copyTeacher(to: writer)
        }
        var start = 0
        for (index, records) in description.shardPlan.enumerated() {
            let range = start..<start + records
            start = range.upperBound
            if !writer.completedShards.contains(index) {
                let shard = try writer.beginShard(index, expectedRecords: records)
                for first in stride(from: range.lowerBound, to: range.upperBound, by: Self.batch) {
                    if shouldStop() {
                        shard.abandon()
                        return false
                    }
                    let part = first..<min(first + Self.batch, range.upperBound)
                    for record in try complete(part.map(record)) {
                        try shard.append(fitted(record))
                    }
                    progress(part.upperBound, places.count)
                }
                _ = try shard.finish()
            }
            progress(range.upperBound, places.count)
        }
        try writer.finish(counts: ["examples": places.count])
        return true
    }

    /// Record `i` of the new cache, with what the source has of what it is to store.
    private func record(_ i: Int) throws -> CacheRecord {
        let source = reader.manifest.description
        let extra = ExtraSignals(
            hiddenLayers: description.signals.hiddenLayers,
            samples: source.signals.samples > 0
                && source.signals.samples == description.signals.samples,
            fullLogits: description.signals.fullLogits != nil && source.signals.fullLogits != nil,
            allPositions: description.signals.positions == .all
        )
        return try reader.shard(places[i].shard).record(places[i].record, extra: extra)
    }

    /// Without what is not to be stored.
    private func fitted(_ record: CacheRecord) -> CacheRecord {
        var record = record
        let k = description.topK
        let there = record.rows == 0 ? k : record.topKIDs.count / record.rows
        if there > k {
            // A row's most likely come first.
            let rows = stride(from: 0, to: record.topKIDs.count, by: there)
            record.topKIDs = rows.flatMap { record.topKIDs[$0..<$0 + k] }
            record.topKLogProbs = rows.flatMap { record.topKLogProbs[$0..<$0 + k] }
        }
        if !description.hasLogits { record.logPartition = [] }
        return record
    }
}

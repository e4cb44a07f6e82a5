import CKernels
import Foundation

@testable import Cache

/// A small cache with signals of format version 2, on top of `SampleCache`'s records.
struct SignalSample {
    var base = SampleCache()
    var signals: CacheSignals
    var softCap: Float?
    var compression = CacheCompression.lz4

    init(_ signals: CacheSignals, base: SampleCache = SampleCache(), softCap: Float? = nil) {
        self.signals = signals
        self.base = base
        self.softCap = softCap
    }

    var description: CacheDescription {
        var teacher = base.description.teacher
        teacher.logitSoftCap = softCap
        let other = base.description
        return CacheDescription(
            teacher: teacher,
            tokenizer: other.tokenizer,
            template: other.template,
            dataset: other.dataset,
            maxPromptLength: other.maxPromptLength,
            maxLength: other.maxLength,
            topK: other.topK,
            shardPlan: other.shardPlan,
            signals: signals,
            compression: compression
        )
    }

    /// Values of hidden states and log-probabilities are such that bf16 and f16 hold them exactly.
    func record(_ number: Int) -> CacheRecord {
        var record = base.record(number)
        var generator = OrderGenerator(seed: 9, epoch: 0, stream: number)
        func below(_ n: Int) -> Int { Int(generator.next() % UInt64(n)) }
        if signals.positions == .all { record.positions = 0..<record.tokenIDs.count }
        let rows = record.rows
        func states() -> [Float] {
            (0..<rows * base.width).map { _ in Float(below(256) - 128) / 32 }
        }
        record.hidden = states()
        for layer in signals.hiddenLayers { record.layers[layer] = states() }
        record.topKIDs = (0..<rows * base.topK).map { _ in UInt32(below(base.vocabulary)) }
        record.topKLogProbs = (0..<rows * base.topK).map { _ in -Float(below(1024)) / 64 }
        record.logPartition =
            description.hasLogits ? (0..<rows).map { _ in Float(below(1000)) / 7 } : []
        if signals.samples > 0 {
            for _ in 0..<rows {
                var left = signals.samples
                for id in 0..<base.vocabulary where left > 0 {
                    let count = id == base.vocabulary - 1 ? left : min(left, below(3))
                    guard count > 0 else { continue }
                    record.samples.ids.append(UInt32(id))
                    record.samples.counts.append(UInt16(count))
                    left -= count
                }
                record.samples.offsets.append(record.samples.ids.count)
            }
        }
        if signals.fullLogits != nil {
            record.fullLogProbs = (0..<rows * base.vocabulary).map { _ in
                -Float(below(256)) / 16
            }
        }
        return record
    }

    func records(ofShard shard: Int) -> [CacheRecord] {
        let first = base.shardSizes[..<shard].reduce(0, +)
        return (first..<first + base.shardSizes[shard]).map(record)
    }

    func writer(_ directory: URL) throws -> CacheWriter {
        try CacheWriter(
            directory: directory,
            description: description,
            plannedShards: base.shardSizes.count
        )
    }

    func write(to directory: URL, changing: (inout CacheRecord) -> Void = { _ in }) throws {
        let writer = try writer(directory)
        try writer.writeTeacher(base.tables)
        for shard in base.shardSizes.indices {
            let records = records(ofShard: shard)
            let shardWriter = try writer.beginShard(shard, expectedRecords: records.count)
            for var record in records {
                changing(&record)
                try shardWriter.append(record)
            }
            _ = try shardWriter.finish()
        }
        try writer.finish(counts: ["written": base.shardSizes.reduce(0, +)])
    }

    /// Everything that the cache has.
    var all: ExtraSignals {
        ExtraSignals(
            hiddenLayers: signals.hiddenLayers,
            samples: signals.samples > 0,
            fullLogits: signals.fullLogits != nil,
            allPositions: signals.positions == .all
        )
    }
}

import Testing

@testable import Cache

@Suite("Storage trials")
struct StorageTrialTests {
    private typealias Arrays = [CacheCompression: [String: ArrayBytes]]

    /// The rows of a small cache, and what its shard's arrays take, packed in either way.
    private func written(
        _ signals: CacheSignals
    ) throws -> (records: [CacheRecord], arrays: Arrays) {
        var base = SampleCache()
        base.shardSizes = [9]
        var sample = SignalSample(signals, base: base)
        let records = sample.records(ofShard: 0)
        var arrays: Arrays = [:]
        for compression in CacheCompression.allCases {
            let scratch = try Scratch()
            sample.compression = compression
            let shard = try sample.writer(scratch.url).beginShard(0, expectedRecords: records.count)
            for record in records { try shard.append(record) }
            arrays[compression] = try shard.finish().file.arrays
        }
        return (records, arrays)
    }

    private func sum(_ arrays: Arrays, _ names: [String]) -> StorageTrial.Bytes {
        names.reduce(into: StorageTrial.Bytes()) { sum, name in
            sum.raw += arrays[.lz4]?[name]?.raw ?? 0
            sum.stored += arrays[.lz4]?[name]?.stored ?? 0
            sum.deflated += arrays[.deflate]?[name]?.stored ?? 0
        }
    }

    @Test(
        "hidden states take what they take in a shard",
        arguments: CacheSignals.HiddenType.allCases
    )
    func hidden(type: CacheSignals.HiddenType) throws {
        let (records, arrays) = try written(CacheSignals(hiddenType: type))
        let values = records.flatMap(\.hidden)
        let trial = StorageTrial(.hidden(type), width: 24)
        let read = try #require(try trial.hidden(values))
        let name = ShardFormat.hidden
        let names = [name, ShardFormat.channelScale(name), ShardFormat.rowScale(name)]
        #expect(try trial.finish() == sum(arrays, names))
        // Values of the sample are numbers of every type but int8.
        #expect(type == .int8 ? read != values && read.count == values.count : read == values)
    }

    @Test("top-k, draws and full logits take what they take in a shard")
    func logits() throws {
        let (records, arrays) = try written(CacheSignals(samples: 12, fullLogits: .f16))
        let partitions = records.flatMap(\.logPartition)
        let topK = StorageTrial(.topK(5))
        let logs = records.flatMap(\.topKLogProbs)
        let ids = records.flatMap(\.topKIDs)
        #expect(try topK.topK(ids, logProbs: logs, logPartitions: partitions) == logs)
        let names = [ShardFormat.topKIDs, ShardFormat.topKLogProbs, ShardFormat.logPartition]
        #expect(try topK.finish() == sum(arrays, names))

        let draws = StorageTrial(.samples)
        for record in records {
            try draws.samples(record.samples, logPartitions: record.logPartition)
        }
        let drawn = [
            ShardFormat.sampleOffsets, ShardFormat.sampleIDs, ShardFormat.sampleCounts,
            ShardFormat.logPartition,
        ]
        #expect(try draws.finish() == sum(arrays, drawn))

        let full = StorageTrial(.fullLogits(.f16), width: 50)
        for record in records {
            var rows = record.fullLogProbs
            let fits = try rows.withUnsafeMutableBufferPointer {
                try full.fullLogits($0, logPartitions: record.logPartition)
            }
            #expect(fits && rows == record.fullLogProbs)
        }
        let whole = [ShardFormat.fullLogProbs, ShardFormat.logPartition]
        #expect(try full.finish() == sum(arrays, whole))
    }

    @Test("many rows are packed chunk by chunk, and the last chunk as in a shard")
    func many() throws {
        let trial = StorageTrial(.hidden(.f32), width: 1000)
        var builder = ArrayBuilder(
            ShardFormat.hidden,
            .f32,
            columns: 1000,
            candidates: ChunkCodec.candidates(.lz4, .f32)
        )
        for part in 0..<40 {
            let rows = (0..<33_000).map { Float(($0 * 7919 + part) % 4096) }
            _ = try trial.hidden(rows)
            builder.append(rows)
        }
        let array = builder.finish()
        let chunks = try array.chunks(0..<array.chunkCount)
        let bytes = try trial.finish()
        #expect(bytes.raw == 40 * 33_000 * 4)
        let stored = chunks.reduce(0) { $0 + $1.bytes.count }
        // The last chunk of the array is filled up with zeros, which pack to next to nothing.
        #expect(abs(bytes.stored - stored) < 4096, "\(bytes.stored) and \(stored)")
    }

    @Test("what a type has no room for is said")
    func beyond() throws {
        #expect(try StorageTrial(.hidden(.f16), width: 2).hidden([1, 1e5]) == nil)
        #expect(try StorageTrial(.hidden(.bf16), width: 2).hidden([1, 1e5]) != nil)
        var row: [Float] = [0, -1e5]
        let fits = try row.withUnsafeMutableBufferPointer {
            try StorageTrial(.fullLogits(.f16), width: 2).fullLogits($0, logPartitions: [0])
        }
        #expect(!fits)
    }
}

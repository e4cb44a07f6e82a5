import Foundation
import Testing

@testable import Cache

@Suite("Signals")
struct SignalRoundTripTests {
    static let wide = SampleCache(
        shardSizes: [3],
        width: 24,
        topK: 3,
        vocabulary: 170_001,
        longest: 6
    )
    static let samples: [SignalSample] = [
        SignalSample(CacheSignals(hiddenType: .f16)),
        SignalSample(CacheSignals(hiddenType: .f32, hiddenLayers: [0, 2])),
        SignalSample(CacheSignals(hiddenLayers: [1], positions: .all)),
        SignalSample(CacheSignals(samples: 17, sampleSeed: .max)),
        SignalSample(CacheSignals(samples: 60_000), base: SampleCache(topK: 0)),
        SignalSample(CacheSignals(fullLogits: .bf16), base: SampleCache(shardSizes: [0, 3])),
        SignalSample(CacheSignals(fullLogits: .f16), softCap: 30),
        // A row of 340,002 bytes: two chunks across, the second filled up.
        SignalSample(CacheSignals(samples: 4, fullLogits: .f16), base: wide),
        SignalSample(
            CacheSignals(
                hiddenType: .f16,
                hiddenLayers: [0, 1, 2],
                positions: .all,
                samples: 5,
                fullLogits: .bf16
            ),
            base: SampleCache(shardSizes: [30], width: 512, topK: 9, vocabulary: 1200, longest: 64)
        ),
    ]

    @Test("every signal and type comes back as written", arguments: samples.indices)
    func roundTrip(index: Int) throws {
        let sample = Self.samples[index]
        let scratch = try Scratch()
        try sample.write(to: scratch.url)
        let reader = try CacheReader(directory: scratch.url)
        #expect(reader.manifest.description == sample.description)
        #expect(reader.manifest.description.formatVersion == 3)
        for shard in sample.base.shardSizes.indices {
            let expected = sample.records(ofShard: shard)
            let shardReader = try reader.shard(shard)
            for i in expected.indices.reversed() {
                #expect(try shardReader.record(i, extra: sample.all) == expected[i])
            }
        }
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
        for signal in CacheSummary(reader.manifest).signals {
            #expect(signal.storedBytes > 0, "\(signal.name)")
        }
    }

    @Test("without being asked for, nothing is added, and the rows are the supervised ones")
    func onRequest() throws {
        let sample = SignalSample(
            CacheSignals(
                hiddenLayers: [1],
                positions: .all,
                samples: 5,
                fullLogits: .bf16
            )
        )
        let scratch = try Scratch()
        try sample.write(to: scratch.url)
        let whole = sample.record(1)
        let record = try CacheReader(directory: scratch.url).shard(0).record(1)
        let width = sample.base.width
        let range = whole.supervised
        #expect(record.positions == range && record.rows == range.count)
        #expect(
            record.hidden
                == Array(whole.hidden[range.lowerBound * width..<range.upperBound * width])
        )
        #expect(record.logPartition == Array(whole.logPartition[range]))
        #expect(record.layers.isEmpty && record.fullLogProbs.isEmpty)
        #expect(record.samples == SampledTokens())
        let some = try CacheReader(directory: scratch.url).shard(0)
            .record(1, extra: ExtraSignals(samples: true))
        #expect(some.samples == whole.samples.slice(rows: range))
        let stream = try CacheStream(
            reader: CacheReader(directory: scratch.url),
            split: "train",
            seed: 1,
            batch: .examples(1),
            extra: ExtraSignals(hiddenLayers: [1])
        )
        let batch = try #require(try stream.batches(epoch: 0).next())
        #expect(batch.records.allSatisfy { $0.layers[1]?.count == $0.rows * width })
    }

    @Test("a signal that the cache does not have is named")
    func missing() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let reader = try CacheReader(directory: scratch.url)
        for (extra, word) in [
            (ExtraSignals(hiddenLayers: [3]), "layer 3"),
            (ExtraSignals(samples: true), "sampled"), (ExtraSignals(fullLogits: true), "full"),
            (ExtraSignals(allPositions: true), "all positions"),
        ] {
            let error = try #require(throws: CacheError.self) {
                try reader.shard(0).record(0, extra: extra)
            }
            #expect(error.kind == .missing && error.message.contains(word))
            #expect(throws: CacheError.self) {
                try CacheStream(
                    reader: reader,
                    split: "train",
                    seed: 1,
                    batch: .examples(1),
                    extra: extra
                )
            }
        }
    }

    @Test("other signals than those of the cache are refused by name")
    func versions() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let changes: [(CacheSignals, String)] = [
            (CacheSignals(hiddenType: .int8), "hiddenType: int8 here, bf16 there"),
            (CacheSignals(hiddenLayers: [2]), "hiddenLayers: [2] here, [] there"),
            (CacheSignals(samples: 3), "samples: 3 here, 0 there"),
            (CacheSignals(fullLogits: .f16), "fullLogits: f16 here, none there"),
            (CacheSignals(positions: .all), "positions: all here, supervised there"),
        ]
        for (signals, words) in changes {
            let error = try #require(throws: CacheError.self) {
                try SignalSample(signals).writer(scratch.url)
            }
            #expect(error.kind == .mismatch && error.message.contains(words))
        }
        let error = try #require(throws: CacheError.self) {
            try SignalSample(CacheSignals(), softCap: 30).writer(scratch.url)
        }
        #expect(error.message.contains("logitSoftCap: 30.0 here, none there"))
    }

    @Test("a writer given full rows one by one makes the same file as one given records")
    func fullRowByRow() throws {
        let sample = SignalSample(CacheSignals(fullLogits: .f16))
        let (first, second) = (try Scratch(), try Scratch())
        try sample.write(to: first.url)
        let writer = try sample.writer(second.url)
        let records = sample.records(ofShard: 0)
        let shard = try writer.beginShard(0, expectedRecords: records.count)
        let vocabulary = sample.base.vocabulary
        for record in records {
            for row in 0..<record.rows {
                try record.fullLogProbs[row * vocabulary..<(row + 1) * vocabulary]
                    .withUnsafeBufferPointer { try shard.appendFullLogits($0) }
            }
        }
        for var record in records {
            record.fullLogProbs = []
            try shard.append(record)
        }
        _ = try shard.finish()
        let name = "shards/00000.h5"
        #expect(try contents(of: first.url)[name] == contents(of: second.url)[name])
        // Rows that are missing at the end.
        let open = try writer.beginShard(1, expectedRecords: 4)
        for var record in sample.records(ofShard: 1) {
            record.fullLogProbs = []
            try open.append(record)
        }
        let error = try #require(throws: CacheError.self) { try open.finish() }
        #expect(error.message.contains("0 rows of full logits"))
    }

    @Test("int8 rows come back within half a step of both scales, whatever their size")
    func int8() throws {
        // More rows than share a channel's scale, and channels of very different sizes.
        let base = SampleCache(
            shardSizes: [160],
            width: 24,
            topK: 0,
            vocabulary: 50,
            longest: 60
        )
        let sample = SignalSample(
            CacheSignals(hiddenType: .int8, hiddenLayers: [4], positions: .all),
            base: base
        )
        func change(_ record: inout CacheRecord) {
            for i in record.hidden.indices {
                let (row, channel) = (i / 24, i % 24)
                record.hidden[i] *= channel == 3 ? 0 : Float(1 << channel) / 1000
                if row == 0 { record.hidden[i] = 0 }
                if row == 1 { record.hidden[i] *= 1e-20 }
            }
            if record.tokenIDs.count > 2 { record.layers[4]?[40] = 3e30 }
        }
        let scratch = try Scratch()
        try sample.write(to: scratch.url, changing: change)
        let reader = try CacheReader(directory: scratch.url)
        let shard = try reader.shard(0)
        #expect(reader.manifest.shards[0].rows > 2 * CacheSignals.rowsOfAScale)
        let entry = reader.manifest.shards[0].file
        let listing = try VerifiedFile(scratch.url.appendingPathComponent(entry.path), entry: entry)
            .list(limit: 1 << 30)
        let groups = (reader.manifest.shards[0].rows + 2047) / 2048
        #expect(listing.arrays["hidden/final_channel_scale"]?.rows == groups)
        var expected = sample.records(ofShard: 0)
        for i in expected.indices { change(&expected[i]) }
        // Channel scales are root mean squares over groups of rows, computed here anew.
        let rows = expected.flatMap(\.hidden)
        let scales = (0..<groups).map { group -> [Double] in
            let range = group * 2048..<min((group + 1) * 2048, rows.count / 24)
            return (0..<24).map { channel in
                let sum = range.reduce(0.0) {
                    $0 + Double(rows[$1 * 24 + channel]) * Double(rows[$1 * 24 + channel])
                }
                return sum > 0 ? (sum / Double(range.count)).squareRoot() : 1
            }
        }
        var row = 0
        for (i, record) in expected.enumerated() {
            let found = try shard.record(i, extra: sample.all)
            for r in 0..<record.rows {
                let scales = scales[row / 2048]
                let values = record.hidden[r * 24..<(r + 1) * 24].map(Double.init)
                let largest = zip(values, scales).map { abs($0) / $1 }.max() ?? 0
                for (channel, value) in values.enumerated() {
                    let error = abs(Double(found.hidden[r * 24 + channel]) - value)
                    // A bf16 row scale is up to 1/128 more than the largest value needs.
                    let bound = largest * scales[channel] / 127 / 2 * (1 + 1 / 64) + 1e-30
                    #expect(error <= bound, "record \(i) row \(r) channel \(channel)")
                }
                row += 1
            }
            #expect(found.layers[4]?.count == record.rows * 24)
        }
    }
}

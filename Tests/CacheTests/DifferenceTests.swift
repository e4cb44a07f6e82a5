import Foundation
import Testing

@testable import Cache

@Suite("Comparing two caches")
struct DifferenceTests {
    private func write(
        _ sample: SampleCache,
        to directory: URL,
        changing: (inout CacheRecord) -> Void = { _ in }
    ) throws {
        let writer = try sample.writer(directory)
        try writer.writeTeacher(sample.tables)
        for shard in sample.shardSizes.indices {
            let records = sample.records(ofShard: shard)
            let output = try writer.beginShard(shard, expectedRecords: records.count)
            for var record in records {
                changing(&record)
                try output.append(record)
            }
            _ = try output.finish()
        }
        try writer.finish(counts: ["written": sample.shardSizes.reduce(0, +), "cut": 1])
    }

    private func compare(_ a: Scratch, _ b: Scratch, all: Bool = true) throws -> CacheDifference {
        let comparer = CacheComparer(
            try CacheReader(directory: a.url),
            try CacheReader(directory: b.url)
        )
        return try #require(try comparer.compare(all: all))
    }

    @Test("a cache equals itself, another of the same run, and itself with another card")
    func equal() throws {
        let (a, b) = (try Scratch(), try Scratch())
        try SampleCache().write(to: a.url)
        try SampleCache().write(to: b.url)
        _ = try CacheCard.write(.init(name: "other"), to: b.url)
        for other in [a, b] {
            let difference = try compare(a, other)
            #expect(difference.areEqual && difference.common == 7 && difference.compared == 7)
            #expect(difference.signals.allSatisfy { $0.rows > 0 && $0.rows == $0.equalRows })
            #expect(difference.table.hasSuffix("the caches are equal"))
        }
    }

    @Test("other texts, tokens and splits are told by id")
    func examples() throws {
        let (a, b) = (try Scratch(), try Scratch())
        let sample = SampleCache()
        try sample.write(to: a.url)
        let ids = (0..<7).map { sample.record($0).id }
        try write(sample, to: b.url) { record in
            if record.id == ids[0] { record.response += "!" }
            if record.id == ids[1] { record.tokenIDs[0] = (record.tokenIDs[0] + 1) % 50 }
            if record.id == ids[3] { record.split = "held_out" }
            if record.id == ids[4] { record.id = String(repeating: "e", count: 32) }
        }
        let difference = try compare(a, b)
        #expect(!difference.areEqual && difference.settings.isEmpty)
        #expect(difference.otherTexts == .init(count: 1, first: [ids[0]]))
        #expect(difference.otherTokens == .init(count: 1, first: [ids[1]]))
        #expect(difference.otherSplits == .init(count: 1, first: [ids[3]]))
        #expect(difference.onlyInA == .init(count: 1, first: [ids[4]]))
        #expect(difference.onlyInB.first == [String(repeating: "e", count: 32)])
        #expect(difference.common == 6 && difference.compared == 5)
        // The examples that both have agree in their signals.
        #expect(difference.signals.allSatisfy { $0.areEqual })
        let coded = try JSONEncoder().encode(difference)
        #expect(try JSONDecoder().decode(CacheDifference.self, from: coded) == difference)
        #expect(String(decoding: coded, as: UTF8.self).contains("\"areEqual\":false"))
    }

    @Test("differences of signals are measured over the common rows")
    func signals() throws {
        let (a, b) = (try Scratch(), try Scratch())
        let sample = SampleCache()
        let chosen = try #require((0..<7).first { sample.record($0).rows > 1 })
        // As in a true top-k, no token twice in a row.
        func distinct(_ record: inout CacheRecord) {
            record.topKIDs = record.topKIDs.indices.map { UInt32($0 % 5) }
        }
        try write(sample, to: a.url, changing: distinct)
        try write(sample, to: b.url) { record in
            distinct(&record)
            guard record.id == sample.record(chosen).id else { return }
            record.hidden[0] += 0.5
            record.logPartition[1] += 2
            record.topKLogProbs[0] -= 1
            record.topKIDs[5] = 17
        }
        let difference = try compare(a, b)
        let rows = sample.allRecords.reduce(0) { $0 + $1.rows }
        let found = Dictionary(
            uniqueKeysWithValues: difference.signals.map { ($0.name, $0) }
        )
        let hidden = try #require(found["hidden/final"])
        #expect(hidden.rows == rows && hidden.equalRows == rows - 1 && hidden.largest == 0.5)
        #expect(abs(hidden.mean - 0.5 / Double(rows * 24)) < 1e-9)
        #expect(hidden.relative > 0 && hidden.relative < 0.1)
        #expect(found["logits/log_partition"]?.equalRows == rows - 1)
        #expect(found["logits/topk_logprobs"]?.largest == 1)
        #expect(found["logits/topk_ids"]?.equalRows == rows - 1)
        #expect(!difference.areEqual && difference.table.contains("5.00e-01"))
    }

    @Test("caches of other settings are compared in what they have in common")
    func settings() throws {
        let (a, b) = (try Scratch(), try Scratch())
        var other = SampleCache(shardSizes: [5, 2])
        other.topK = 0
        other.width = 8
        try SampleCache().write(to: a.url)
        try other.write(to: b.url)
        let difference = try compare(a, b)
        #expect(difference.settings.contains("topK: 5 here, 0 there"))
        #expect(difference.settings.contains { $0.hasPrefix("shardPlan") })
        let notes = Dictionary(
            uniqueKeysWithValues: difference.signals.map { ($0.name, $0.note ?? "") }
        )
        #expect(notes["hidden/final"] == "not compared: width 24 in A, 8 in B")
        #expect(notes["logits/topk_ids"] == "only in A")
        #expect(difference.teacher.tables.contains { $0.note != nil })
    }

    @Test("signals of the second format are compared too", arguments: [0, 1])
    func moreSignals(change: Int) throws {
        let (a, b) = (try Scratch(), try Scratch())
        let sample = SignalSample(
            CacheSignals(
                hiddenType: .f16,
                hiddenLayers: [1],
                positions: .all,
                samples: 5,
                fullLogits: .f16
            )
        )
        try sample.write(to: a.url)
        try sample.write(to: b.url) { record in
            guard change == 1, record.id == sample.record(0).id else { return }
            record.layers[1]?[0] += 1
            record.fullLogProbs[3] -= 1
        }
        let difference = try compare(a, b)
        #expect(difference.areEqual == (change == 0))
        #expect(difference.signals.count == 7)
        let differing = difference.signals.filter { !$0.areEqual }.map(\.name)
        #expect(differing == (change == 0 ? [] : ["hidden/layer_1", "logits/full_logprobs"]))
    }

    @Test("of many examples a sample is compared unless all are asked for")
    func sampled() throws {
        let (a, b) = (try Scratch(), try Scratch())
        let sample = SampleCache(shardSizes: [400], width: 2, topK: 0, longest: 6)
        try sample.write(to: a.url)
        try sample.write(to: b.url)
        let some = try compare(a, b, all: false)
        #expect(some.compared == CacheComparer.sampleSize && !some.isComplete && some.areEqual)
        #expect(some.table.contains("no difference was found"))
        #expect(try compare(a, b).compared == 400)
        let stopped = try CacheComparer(
            CacheReader(directory: a.url),
            CacheReader(directory: b.url)
        ).compare(all: true, shouldStop: { true })
        #expect(stopped == nil)
    }
}

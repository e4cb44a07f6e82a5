import Foundation
import Testing

@testable import Cache

@Suite("Writing and reading")
struct RoundTripTests {
    @Test(
        "records, tables and counts come back as written",
        arguments: [
            SampleCache(), SampleCache(shardSizes: [1], topK: 0),
            SampleCache(shardSizes: [0, 2]),
            // Several chunks an array: rows of 2 KiB.
            SampleCache(shardSizes: [60], width: 1024, topK: 9, vocabulary: 1200, longest: 64),
        ]
    )
    func roundTrip(sample: SampleCache) throws {
        let scratch = try Scratch()
        try sample.write(to: scratch.url)
        let reader = try CacheReader(directory: scratch.url)
        #expect(reader.manifest.description == sample.description)
        #expect(reader.shardCount == sample.shardSizes.count)
        for shard in sample.shardSizes.indices {
            let records = sample.records(ofShard: shard)
            let shardReader = try reader.shard(shard)
            #expect(shardReader.recordCount == records.count)
            #expect(shardReader.ids == records.map(\.id))
            #expect(shardReader.splits == records.map(\.split))
            #expect(shardReader.lengths == records.map(\.tokenIDs.count))
            for i in records.indices.reversed() {
                #expect(try shardReader.record(i) == records[i])
            }
        }
        let all = sample.allRecords
        #expect(
            reader.recordCount(split: "train") == all.filter { $0.split == "train" }.count
        )
        #expect(try reader.teacherHead().values == sample.headValues)
        #expect(try reader.teacherEmbedding().values == sample.embeddingValues)
        #expect(try reader.teacherEmbedding().ids == sample.tables.embeddingIDs)
        #expect(try reader.tokenizerFiles() == sample.tables.tokenizerFiles)
        #expect(try reader.logitScale() == 0.5)
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
        let summary = CacheSummary(reader.manifest)
        #expect(summary.rows == all.reduce(0) { $0 + $1.rows })
        #expect(summary.table.contains("hidden/final"))
    }

    @Test("the parts not asked for are left out")
    func parts() throws {
        let scratch = try Scratch()
        let sample = SampleCache()
        try sample.write(to: scratch.url)
        let record = try CacheReader(directory: scratch.url).shard(0).record(
            0,
            hidden: false,
            logits: false
        )
        #expect(record.hidden.isEmpty && record.topKIDs.isEmpty && record.logPartition.isEmpty)
        #expect(record.tokenIDs == sample.record(0).tokenIDs)
    }

    @Test("the same records give byte-identical files, in any order of shards")
    func identical() throws {
        let first = try Scratch()
        let second = try Scratch()
        let sample = SampleCache(shardSizes: [3, 20, 2], width: 512)
        try sample.write(to: first.url)
        let writer = try sample.writer(second.url)
        try writer.writeTeacher(sample.tables)
        for shard in [2, 0, 1] { try sample.write(shard: shard, to: writer) }
        try writer.finish(counts: ["written": 25, "cut": 1])
        #expect(try contents(of: first.url) == contents(of: second.url))
    }

    @Test("a writer goes on where another one stopped, and the cache is the same")
    func resume() throws {
        let whole = try Scratch()
        let resumed = try Scratch()
        let sample = SampleCache(shardSizes: [3, 4, 2])
        try sample.write(to: whole.url)
        do {
            let writer = try sample.writer(resumed.url)
            try sample.write(shard: 0, to: writer)
            let open = try writer.beginShard(1, expectedRecords: 4)
            try open.append(sample.record(3))
            open.abandon()
            #expect(throws: CacheError.self) { try open.append(sample.record(3)) }
        }
        // What a kill leaves: a temporary file, half a line in the journal.
        let temporary = resumed.url.appendingPathComponent("shards/.00001.h5.tmp")
        try Data("half".utf8).write(to: temporary)
        let journal = try FileHandle(
            forWritingTo: resumed.url.appendingPathComponent(CacheJournal.fileName)
        )
        try journal.seekToEnd()
        try journal.write(contentsOf: Data(#"{"shard":{"fi"#.utf8))
        try journal.close()
        #expect(throws: CacheError.self) { try CacheReader(directory: resumed.url) }
        #expect(try sample.writer(resumed.url).completedShards == [0])
        #expect(!FileManager.default.fileExists(atPath: temporary.path))
        try sample.write(to: resumed.url)
        #expect(try contents(of: whole.url) == contents(of: resumed.url))
    }

    @Test("a shard that was changed or lost is made again")
    func damagedShardIsMadeAgain() throws {
        let scratch = try Scratch()
        let sample = SampleCache(shardSizes: [3, 4, 2])
        try sample.write(to: scratch.url)
        let before = try contents(of: scratch.url)
        let second = scratch.url.appendingPathComponent("shards/00001.h5")
        var bytes = try Data(contentsOf: second)
        bytes[bytes.count / 2] ^= 4
        try bytes.write(to: second)
        try FileManager.default.removeItem(
            at: scratch.url.appendingPathComponent("shards/00002.h5")
        )
        #expect(try sample.writer(scratch.url).completedShards == [0])
        try sample.write(to: scratch.url)
        #expect(try contents(of: scratch.url) == before)
    }

    @Test("other settings in the same directory are refused by name")
    func mismatch() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let error = try #require(throws: CacheError.self) {
            try SampleCache(topK: 6).writer(scratch.url)
        }
        #expect(error.kind == .mismatch)
        #expect(error.message.contains("topK: 6 here, 5 there"))
    }

    @Test("a second writer, an early end and bad records are refused")
    func refusals() throws {
        let scratch = try Scratch()
        let sample = SampleCache()
        let writer = try sample.writer(scratch.url)
        #expect(throws: CacheError.self) { try sample.writer(scratch.url) }
        #expect(throws: CacheError.self) { try writer.finish(counts: [:]) }
        let shard = try writer.beginShard(0, expectedRecords: 3)
        var record = sample.record(0)
        record.hidden[0] = .nan
        #expect(throws: CacheError.self) { try shard.append(record) }
        record = sample.record(0)
        record.topKIDs.removeLast()
        #expect(throws: CacheError.self) { try shard.append(record) }
        record = sample.record(0)
        record.id = "../../etc/passwd"
        #expect(throws: CacheError.self) { try shard.append(record) }
        try shard.append(sample.record(0))
        let error = try #require(throws: CacheError.self) { try shard.finish() }
        #expect(error.message.contains("1 records, but 3"))
        let empty = try Scratch()
        let missing = try #require(throws: CacheError.self) {
            try CacheReader(directory: empty.url)
        }
        #expect(missing.kind == .missing)
    }
}

import Foundation
import Testing

@testable import Cache

@Suite("Merging parts of a cache")
struct MergeTests {
    private let sample = SampleCache(shardSizes: [3, 4, 2, 5])

    /// What a worker with an output of its own makes.
    private func part(_ url: URL, _ shards: [Int], teacher: Bool = false) throws {
        let writer = try sample.writer(url)
        try writer.note(counts: sample.counts)
        for shard in shards { try sample.write(shard: shard, to: writer) }
        if teacher { try writer.writeTeacher(sample.tables) }
    }

    private func merge(_ parts: [Scratch], _ output: URL) throws -> CacheMerger.Outcome {
        try #require(try CacheMerger(parts: parts.map(\.url), output: output).merge())
    }

    private func whole() throws -> [String: Data] {
        let scratch = try Scratch()
        try sample.write(to: scratch.url)
        return try contents(of: scratch.url)
    }

    @Test("two halves give the cache of one run, also when merged twice")
    func halves() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0, 2], teacher: true)
        // A shard that both have is no harm.
        try part(b.url, [1, 2, 3])
        let output = out.url.appendingPathComponent("new/cache")
        let first = try merge([a, b], output)
        #expect(first.isComplete && first.filesAdded == 5 && first.shards == 4)
        let second = try merge([a, b], output)
        #expect(second.isComplete && second.filesAdded == 0)
        #expect(try contents(of: output) == whole())
        #expect(try CacheVerifier().verify(output).problems.isEmpty)
        // A complete cache is a part too, and so is the output.
        let third = try #require(
            try CacheMerger(parts: [output, a.url], output: output).merge()
        )
        #expect(third.isComplete && third.filesAdded == 0)
    }

    @Test("what is missing is told, and a later merge or run adds it")
    func incomplete() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0])
        try part(b.url, [1, 3], teacher: true)
        let first = try merge([a], out.url)
        #expect(first.missingShards == [1, 2, 3] && first.isTeacherMissing && !first.isComplete)
        #expect(throws: CacheError.self) { try CacheReader(directory: out.url) }
        let second = try merge([b], out.url)
        #expect(second.missingShards == [2] && !second.isTeacherMissing)
        #expect(try sample.work(in: out.url, worker: nil))
        #expect(try contents(of: out.url) == whole())
    }

    @Test("a merge that was killed is gone on with")
    func killed() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0, 2], teacher: true)
        try part(b.url, [1, 3])
        var calls = 0
        let stopped = try CacheMerger(parts: [a.url, b.url], output: out.url).merge(shouldStop: {
            calls += 1
            return calls == 3
        })
        #expect(stopped == nil)
        // Linked but not named; named but not entered.
        let shards = out.url.appendingPathComponent("shards")
        let files = FileManager.default
        let third = a.url.appendingPathComponent("shards/00002.h5")
        try files.linkItem(at: third, to: shards.appendingPathComponent(".00002.h5.9.tmp"))
        try files.linkItem(at: third, to: shards.appendingPathComponent("00002.h5"))
        #expect(try merge([a, b], out.url).isComplete)
        #expect(try contents(of: out.url) == whole())
    }

    @Test("parts of other caches are refused, naming what differs, and nothing is made")
    func different() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0])
        var other = sample
        other.topK = 7
        _ = try other.writer(b.url)
        let output = out.url.appendingPathComponent("cache")
        let error = #expect(throws: CacheError.self) { try merge([a, b], output) }
        #expect(error?.kind == .mismatch && error?.message.contains("topK: 7 here, 5") == true)
        #expect(!FileManager.default.fileExists(atPath: output.path))
        let missing = #expect(throws: CacheError.self) { try merge([a, out], output) }
        #expect(missing?.kind == .missing)
        let full = #expect(throws: CacheError.self) {
            try merge([a], a.url.deletingLastPathComponent())
        }
        #expect(full?.message == "the directory holds something that is not a cache")
    }

    @Test("a damaged file comes from another part, or stops the merge with its name")
    func damaged() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0, 1], teacher: true)
        try part(b.url, [1, 2, 3])
        let shard = a.url.appendingPathComponent("shards/00001.h5")
        var bytes = try Data(contentsOf: shard)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: shard)
        #expect(throws: CacheError.self) { try merge([a], out.url) }
        let link = b.url.appendingPathComponent("shards/00003.h5")
        try FileManager.default.removeItem(at: link)
        try FileManager.default.createSymbolicLink(
            atPath: link.path,
            withDestinationPath: "/etc/passwd"
        )
        let error = #expect(throws: CacheError.self) { try merge([a, b], out.url) }
        #expect(error?.path == link.path)
        let left = try FileManager.default.subpathsOfDirectory(atPath: out.url.path)
        #expect(!left.contains { $0.hasSuffix(DurableFile.temporarySuffix) })
        #expect(!left.contains("shards/00003.h5"))
        try FileManager.default.removeItem(at: link)
        try part(b.url, [3])
        #expect(try merge([a, b], out.url).isComplete)
        #expect(try contents(of: out.url) == whole())
    }

    @Test("parts that kept no counts get their manifest from a run that computes nothing")
    func withoutCounts() throws {
        let (a, out) = (try Scratch(), try Scratch())
        let writer = try sample.writer(a.url)
        for shard in sample.shardSizes.indices { try sample.write(shard: shard, to: writer) }
        try writer.writeTeacher(sample.tables)
        let error = #expect(throws: CacheError.self) { try merge([a], out.url) }
        #expect(error?.kind == .unsupported && error?.message.contains("no counts") == true)
        #expect(try sample.work(in: out.url, worker: nil))
        #expect(try contents(of: out.url) == whole())
    }

    @Test(
        "a part whose journal makes no sense is refused",
        arguments: [
            (#""records":4"#, #""records":9223372036854775807"#),
            (#""tokens":"#, #""tokens":-"#), (#""train":3"#, #""train":5"#),
            (#""records":4,"rows""#, #""records":5,"rows""#), (#"{"shard""#, #"{"shart""#),
        ]
    )
    func oddJournal(what: String, instead: String) throws {
        let (a, out) = (try Scratch(), try Scratch())
        try part(a.url, [1])
        let journal = a.url.appendingPathComponent(CacheJournal.fileName)
        let text = try String(contentsOf: journal, encoding: .utf8)
        let odd = text.replacingOccurrences(of: what, with: instead)
        try #require(odd != text)
        try Data(odd.utf8).write(to: journal)
        let output = out.url.appendingPathComponent("cache")
        let error = #expect(throws: CacheError.self) { try merge([a], output) }
        #expect(error?.kind == .corrupt && error?.path == journal.path)
        #expect(!FileManager.default.fileExists(atPath: output.path))
    }

    @Test("two answers for one shard are refused")
    func contradiction() throws {
        let (a, b, out) = (try Scratch(), try Scratch(), try Scratch())
        try part(a.url, [0, 1])
        let writer = try sample.writer(b.url)
        let shard = try writer.beginShard(1, expectedRecords: 4)
        for number in 3..<7 {
            var record = sample.record(number)
            record.hidden = record.hidden.map { $0 + 1 }
            try shard.append(record)
        }
        _ = try shard.finish()
        let error = #expect(throws: CacheError.self) { try merge([a, b], out.url) }
        #expect(error?.message == "the parts differ in shards/00001.h5")
    }

    @Test("parts on another disk are copied", .enabled(if: Self.hasOtherDisk))
    func copies() throws {
        let (a, out) = (try Scratch(), URL(fileURLWithPath: "/dev/shm/retort-\(UUID().uuidString)"))
        defer { try? FileManager.default.removeItem(at: out) }
        try part(a.url, [0, 1, 2, 3], teacher: true)
        #expect(try merge([a], out).isComplete)
        #expect(try contents(of: out) == whole())
    }

    private static var hasOtherDisk: Bool {
        var here = stat()
        var there = stat()
        return stat(FileManager.default.temporaryDirectory.path, &here) == 0
            && stat("/dev/shm", &there) == 0 && here.st_dev != there.st_dev
            && access("/dev/shm", W_OK) == 0
    }
}

import Foundation
import Testing

@testable import Cache

@Suite("Caches made of caches")
struct RewriterTests {
    private let sample = SampleCache(shardSizes: [4, 3, 5])

    private func records(_ url: URL, extra: ExtraSignals = .init()) throws -> [CacheRecord] {
        let reader = try CacheReader(directory: url)
        return try (0..<reader.shardCount).flatMap { index in
            let shard = try reader.shard(index)
            return try (0..<shard.recordCount).map { try shard.record($0, extra: extra) }
        }
    }

    @Test("some records in any order, with where they came from")
    func subset() throws {
        let scratch = try Scratch()
        let (source, output) = (scratch.url.appending(path: "a"), scratch.url.appending(path: "b"))
        try sample.write(to: source)
        let reader = try CacheReader(directory: source)
        let places: [CacheRewriter.Place] = [
            .init(shard: 2, record: 4), .init(shard: 0, record: 1), .init(shard: 1, record: 0),
        ]
        #expect(try CacheRewriter(reader, places: places).write(to: output))
        let numbers = [11, 1, 4]
        #expect(try records(output) == numbers.map(sample.record))
        let made = try CacheReader(directory: output)
        #expect(made.manifest.description.origins == [reader.contentSHA256])
        #expect(try made.teacherHead().values == sample.headValues)
        #expect(try CacheVerifier().verify(output).isWhole)
        #expect(
            made.manifest.description.dataset.examplesSHA256
                == CacheDescription.Dataset.fingerprint(
                    of: numbers.map(sample.record).map { ($0.id, $0.split) }
                )
        )
    }

    @Test("stopped, it goes on, to the same bytes; another output is refused")
    func stopped() throws {
        let scratch = try Scratch()
        let source = scratch.url.appending(path: "a")
        try sample.write(to: source)
        let reader = try CacheReader(directory: source)
        let (once, twice) = (scratch.url.appending(path: "b"), scratch.url.appending(path: "c"))
        let rewriter = try CacheRewriter(reader, storage: .init(compression: .deflate))
        #expect(try rewriter.write(to: once))
        #expect(try !rewriter.write(to: twice, shouldStop: { true }))
        #expect(throws: CacheError.self) { try CacheReader(directory: twice) }
        #expect(try rewriter.write(to: twice))
        #expect(try contents(of: once) == contents(of: twice))
        let other = try CacheRewriter(reader, places: [.init(shard: 0, record: 0)])
        let error = try #require(throws: CacheError.self) { try other.write(to: once) }
        #expect(error.kind == .mismatch)
        try FileManager.default.createDirectory(
            at: scratch.url.appending(path: "d"),
            withIntermediateDirectories: true
        )
        try Data().write(to: scratch.url.appending(path: "d/notes.txt"))
        #expect(throws: CacheError.self) { try other.write(to: scratch.url.appending(path: "d")) }
    }

    @Test("signals are dropped, cut and stored in other types")
    func storage() throws {
        let scratch = try Scratch()
        let (source, output) = (scratch.url.appending(path: "a"), scratch.url.appending(path: "b"))
        let rich = SignalSample(
            CacheSignals(hiddenType: .f32, hiddenLayers: [1, 2], positions: .all, samples: 7)
        )
        try rich.write(to: source)
        let reader = try CacheReader(directory: source)
        let signals = CacheSignals(hiddenType: .f16, hiddenLayers: [2])
        let rewriter = try CacheRewriter(reader, storage: .init(topK: 2, signals: signals))
        #expect(try rewriter.write(to: output))
        let old = try records(source, extra: .init(hiddenLayers: [2]))
        for (before, after) in zip(old, try records(output, extra: .init(hiddenLayers: [2]))) {
            #expect(after.hidden == before.hidden && after.layers == before.layers)
            #expect(after.positions == before.supervised)
            let rows = 0..<before.rows
            #expect(after.topKIDs == rows.flatMap { before.topKIDs[5 * $0..<5 * $0 + 2] })
        }
        for wanted in [
            CacheSignals(hiddenLayers: [3]), CacheSignals(samples: 9),
            CacheSignals(fullLogits: .f16),
        ] {
            let error = try #require(throws: CacheError.self) {
                try CacheRewriter(reader, storage: .init(signals: wanted))
            }
            #expect(error.kind == .mismatch)
        }
        #expect(throws: CacheError.self) { try CacheRewriter(reader, storage: .init(topK: 6)) }
    }

    @Test("caches of different data go together, and share their shards' bytes")
    func union() throws {
        let scratch = try Scratch()
        let source = scratch.url.appending(path: "all")
        try sample.write(to: source)
        let reader = try CacheReader(directory: source)
        let parts = try [[0, 2], [1]].enumerated().map { number, shards in
            let url = scratch.url.appending(path: "part\(number)")
            let places = CacheRewriter.allPlaces(reader.manifest).filter {
                shards.contains($0.shard)
            }
            let isDone = try CacheRewriter(reader, places: places).write(to: url)
            #expect(isDone)
            return url
        }
        let output = scratch.url.appending(path: "both")
        #expect(try CacheMerger.areWholeCaches(parts))
        #expect(try CacheUnion(parts).write(to: output))
        let expected = [0, 2, 1].flatMap(sample.records)
        #expect(try records(output) == expected)
        #expect(try CacheVerifier().verify(output).isWhole)
        let made = try CacheReader(directory: output)
        let streams = try CacheStream(reader: made, split: "train", seed: 1, batch: .examples(3))
        let batches = streams.batches(from: CachePosition(epoch: 0))
        var seen: [String] = []
        while let batch = try batches.next() { seen += batch.records.map(\.id) }
        #expect(seen.sorted() == expected.filter { $0.split == "train" }.map(\.id).sorted())
        #expect(try made.teacherEmbedding().ids == [0, 7, 31])
        let error = try #require(throws: CacheError.self) { try CacheUnion(parts + [source]) }
        #expect(error.kind == .mismatch && error.message.contains("as well"))
    }

    @Test("caches of other teachers or settings are refused by name")
    func foreign() throws {
        let scratch = try Scratch()
        let (a, b) = (scratch.url.appending(path: "a"), scratch.url.appending(path: "b"))
        try sample.write(to: a)
        try SampleCache(shardSizes: [2], topK: 3).write(to: b)
        let error = try #require(throws: CacheError.self) { try CacheUnion([a, b]) }
        #expect(error.message.contains("topK: 3 here, 5 there"))
    }

    @Test(
        "repair drops what is damaged; writing again, or a copy, makes it whole",
        arguments: [
            "shards/00001.h5", "teacher.h5", "README.md", "manifest.json", "journal.jsonl",
        ]
    )
    func repair(name: String) throws {
        let scratch = try Scratch()
        let url = scratch.url.appending(path: "a")
        try sample.write(to: url)
        let whole = try contents(of: url)
        let file = url.appending(path: name)
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: file)
        let outcome = try CacheRepair(url).repair()
        #expect(outcome.problems.first?.file == name)
        let isLost = name.hasSuffix(".h5")
        #expect(outcome.removed == (isLost ? [name] : []))
        #expect(outcome.rewritten == (isLost ? [] : [name]))
        if isLost {
            #expect(throws: CacheError.self) { try CacheReader(directory: url) }
            try sample.write(to: url)
        }
        #expect(try contents(of: url) == whole)
        #expect(try CacheVerifier().verify(url).isWhole)
        #expect(try CacheRepair(url).repair().problems.isEmpty)
    }

    @Test("what cannot be read for another reason than damage is not dropped")
    func unreadable() throws {
        let scratch = try Scratch()
        let url = scratch.url.appending(path: "a")
        try sample.write(to: url)
        let (shard, blob) = (
            url.appending(path: "shards/00001.h5"), scratch.url.appending(path: "blob")
        )
        try FileManager.default.moveItem(at: shard, to: blob)
        try FileManager.default.createSymbolicLink(at: shard, withDestinationURL: blob)
        for act in [{ _ = try CacheVerifier().verify(url) }, { _ = try CacheRepair(url).repair() }]
        {
            let error = try #require(throws: CacheError.self) { try act() }
            #expect(error.kind == .unsupported && error.message.contains("symbolic link"))
        }
        #expect(FileManager.default.fileExists(atPath: shard.path))
        #expect(try CacheReader(directory: url).manifest.shards.count == 3)
    }

    @Test("what can be read of a damaged cache goes into a new one")
    func salvage() throws {
        let scratch = try Scratch()
        let (url, output) = (scratch.url.appending(path: "a"), scratch.url.appending(path: "b"))
        let large = SampleCache(shardSizes: [400, 3], width: 256, longest: 12)
        try large.write(to: url)
        let entry = try CacheReader(directory: url).manifest.shards[0].file
        let file = url.appending(path: entry.path)
        let places = try VerifiedFile(file, entry: entry).list(limit: 1 << 30).arrays[
            "hidden/final"
        ]?.chunks
        let place = try #require(places?[1])
        var bytes = try Data(contentsOf: file)
        bytes[place.offset + 5] ^= 1
        try bytes.write(to: file)
        let reader = try CacheReader(directory: url)
        let (found, lost) = try CacheRepair(url).readable(reader)
        #expect(lost > 0 && found.count + lost == 403 && lost < 200)
        #expect(try CacheRewriter(reader, places: found).write(to: output))
        let all = Dictionary(uniqueKeysWithValues: large.allRecords.map { ($0.id, $0) })
        #expect(try records(output).allSatisfy { all[$0.id] == $0 })
        #expect(try CacheVerifier().verify(output).isWhole)
    }

    @Test("what is finished of a cache in the making can be read, and is said to be a part")
    func snapshot() throws {
        let scratch = try Scratch()
        let writer = try sample.writer(scratch.url)
        #expect(throws: CacheError.self) {
            try CacheReader(directory: scratch.url, unfinished: true)
        }
        try writer.writeTeacher(sample.tables)
        try sample.write(shard: 2, to: writer)
        try sample.write(shard: 0, to: writer)
        let error = try #require(throws: CacheError.self) {
            try CacheReader(directory: scratch.url)
        }
        #expect(error.kind == .missing)
        let reader = try CacheReader(directory: scratch.url, unfinished: true)
        #expect(reader.isSnapshot && reader.shardsInWords == "2 of 3 shards")
        try sample.write(shard: 1, to: writer)
        try writer.finish(counts: [:])
        let stream = try CacheStream(reader: reader, split: "train", seed: 1, batch: .tokens(64))
        let batches = stream.batches(from: CachePosition(epoch: 0))
        var seen: [CacheRecord] = []
        while let batch = try batches.next() { seen += batch.records }
        let expected = [0, 2].flatMap(sample.records).filter { $0.split == "train" }
        #expect(seen.sorted { $0.id < $1.id } == expected)
        #expect(try !CacheReader(directory: scratch.url, unfinished: true).isSnapshot)
    }
}

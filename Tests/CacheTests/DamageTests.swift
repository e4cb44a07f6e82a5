import Foundation
import Testing

@testable import Cache

@Suite("Damage and hostile files")
struct DamageTests {
    @Test("every flipped bit of every file is found")
    func flippedBits() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        var generator = OrderGenerator(seed: 11, epoch: 0, stream: 0)
        var silent: [String] = []
        var names = try contents(of: scratch.url).keys.sorted()
        names.append(CacheJournal.fileName)
        for name in names {
            let url = scratch.url.appendingPathComponent(name)
            let whole = try Data(contentsOf: url)
            for _ in 0..<150 {
                var bytes = whole
                let position = Int(generator.next() % UInt64(bytes.count))
                bytes[position] ^= 1 << (generator.next() % 8)
                try bytes.write(to: url)
                if try CacheVerifier().verify(scratch.url).isWhole {
                    silent.append("\(name) byte \(position)")
                }
            }
            try whole.write(to: url)
        }
        #expect(silent.isEmpty)
        #expect(try CacheVerifier().verify(scratch.url).isWhole)
    }

    @Test("damage in a chunk is placed, and a reader refuses the records that lie in it")
    func placed() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let entry = try CacheReader(directory: scratch.url).manifest.shards[1].file
        let url = scratch.url.appendingPathComponent(entry.path)
        let layout = try VerifiedFile(url, entry: entry).list(limit: 1 << 30)
        let place = try #require(layout.arrays[ShardFormat.hidden]?.chunks.first)
        var bytes = try Data(contentsOf: url)
        bytes[place.offset + place.size / 2] ^= 16
        try bytes.write(to: url)
        let problems = try CacheVerifier().verify(scratch.url).problems
        #expect(problems.count == 1)
        #expect(problems.first?.file == "shards/00001.h5")
        #expect(problems.first?.dataset == ShardFormat.hidden)
        #expect(problems.first?.chunk == 0)
        let shard = try CacheReader(directory: scratch.url).shard(1)
        let error = try #require(throws: CacheError.self) { try shard.record(0) }
        #expect(error.kind == .corrupt && error.path == url.path)
        #expect(error.message == "chunk 0 of 'hidden/final' is damaged")
        // What lies elsewhere is still good.
        #expect(try shard.record(0, hidden: false).id == SampleCache().record(3).id)
    }

    @Test("with the file's hash not looked at, no damaged chunk gives values")
    func checksumsAlone() throws {
        let scratch = try Scratch()
        let sample = SampleCache()
        try sample.write(to: scratch.url)
        let entry = try CacheReader(directory: scratch.url).manifest.shards[0].file
        let url = scratch.url.appendingPathComponent(entry.path)
        let whole = try Data(contentsOf: url)
        let places = entry.dataRanges.flatMap { Array($0.start..<$0.end) }
        var generator = OrderGenerator(seed: 12, epoch: 0, stream: 0)
        var silent: [Int] = []
        func readAll() throws -> [CacheRecord] {
            let reader = try ShardReader(
                file: VerifiedFile(url, entry: nil),
                description: sample.description,
                entry: nil
            )
            return try (0..<reader.recordCount).map { try reader.record($0) }
        }
        #expect(try readAll() == sample.records(ofShard: 0))
        for _ in 0..<400 {
            var bytes = whole
            let position = places[Int(generator.next() % UInt64(places.count))]
            bytes[position] ^= 1 << (generator.next() % 8)
            try bytes.write(to: url)
            do {
                _ = try readAll()
                silent.append(position)
            } catch let error as CacheError {
                #expect(error.kind == .corrupt)
            }
        }
        #expect(silent.isEmpty)
    }

    @Test("a truncated file is reported with its path")
    func truncated() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let url = scratch.url.appendingPathComponent("shards/00000.h5")
        let whole = try Data(contentsOf: url)
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 100)) {
            try whole.prefix(length).write(to: url)
            let error = try #require(throws: CacheError.self) {
                try CacheReader(directory: scratch.url).shard(0)
            }
            #expect(error.path == url.path)
            // Without the size and the hash, HDF5 or the walk must still refuse it.
            #expect(throws: CacheError.self, "\(length) of \(whole.count)") {
                let file = try VerifiedFile(url, entry: nil)
                _ = try file.list(limit: 1 << 30)
            }
        }
        try (whole + Data([0])).write(to: url)
        #expect(throws: CacheError.self) { try CacheReader(directory: scratch.url).shard(0) }
        try FileManager.default.removeItem(at: url)
        let error = try #require(throws: CacheError.self) {
            try CacheReader(directory: scratch.url).shard(0)
        }
        #expect(error.kind == .missing)
    }

    @Test(
        "a hostile file is refused before anything is read",
        arguments: [
            "external_link", "soft_link", "external_storage", "virtual", "huge_extent",
            "huge_chunk", "unknown_filter", "compound", "variable_length", "committed_type", "deep",
            "cycle", "many_links", "odd_name", "missing_chunks", "html", "lfs_pointer", "empty",
        ]
    )
    func hostile(name: String) throws {
        let fixture = try #require(
            Bundle.module.url(
                forResource: "hostile_\(name)",
                withExtension: "h5",
                subdirectory: "Fixtures"
            )
        )
        let error = try #require(throws: CacheError.self) {
            _ = try VerifiedFile(fixture, entry: nil).list(limit: 1 << 30)
        }
        #expect(error.kind == .corrupt)
        try expectRefusal(ofShard: try Data(contentsOf: fixture))
    }

    @Test("a file without the format's arrays is refused")
    func noArrays() throws {
        let fixture = try #require(
            Bundle.module.url(
                forResource: "hostile_no_arrays",
                withExtension: "h5",
                subdirectory: "Fixtures"
            )
        )
        try expectRefusal(ofShard: try Data(contentsOf: fixture))
    }

    /// A stranger's manifest can list the right hash of a hostile shard.
    private func expectRefusal(ofShard bytes: Data) throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        var manifest = try CacheManifest.read(scratch.url)
        try bytes.write(to: scratch.url.appendingPathComponent("shards/00000.h5"))
        manifest.shards[0].file.bytes = bytes.count
        manifest.shards[0].file.sha256 = sha256(of: bytes)
        manifest.shards[0].file.structureSHA256 = sha256(of: bytes)
        manifest.shards[0].file.dataRanges = []
        try Data(try manifest.encoded()).write(
            to: scratch.url.appendingPathComponent(CacheManifest.fileName)
        )
        #expect(throws: CacheError.self) { try CacheReader(directory: scratch.url).shard(0) }
    }

    @Test(
        "a manifest that names a file elsewhere is refused",
        arguments: ["../00000.h5", "/etc/passwd", "shards/../../x", "shards/00001.h5", ""]
    )
    func paths(path: String) throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        var manifest = try CacheManifest.read(scratch.url)
        manifest.shards[0].file.path = path
        let url = scratch.url.appendingPathComponent(CacheManifest.fileName)
        try Data(try manifest.encoded()).write(to: url)
        let error = try #require(throws: CacheError.self) {
            try CacheReader(directory: scratch.url)
        }
        #expect(error.kind == .corrupt && error.path == url.path)
    }

    @Test("token ids that the teacher's vocabulary has not are refused with path and record")
    func foreignTokens() throws {
        let scratch = try Scratch()
        let sample = SampleCache()
        try sample.write(to: scratch.url)
        let records = sample.records(ofShard: 0)
        let tokens = records[0].tokenIDs.max() ?? 0
        let candidates = records[0].topKIDs.max() ?? 0
        #expect(candidates > 0 && tokens > 0)
        func read(vocabulary: UInt32, logits: Bool) throws {
            try rewriteManifest(scratch.url) {
                $0.description.teacher.vocabularySize = Int(vocabulary)
            }
            let shard = try CacheReader(directory: scratch.url).shard(0)
            _ = try shard.record(0, logits: logits)
        }
        #expect(throws: Never.self) { try read(vocabulary: tokens + 1, logits: false) }
        #expect(throws: Never.self) {
            try read(vocabulary: max(tokens, candidates) + 1, logits: true)
        }
        for (vocabulary, logits) in [(tokens, false), (max(tokens, candidates), true)] {
            let error = try #require(throws: CacheError.self) {
                try read(vocabulary: vocabulary, logits: logits)
            }
            #expect(error.kind == .corrupt && error.path.hasSuffix("shards/00000.h5"))
            #expect(error.message.contains("record 0 has token id \(vocabulary)"))
        }
    }

    private func rewriteManifest(_ directory: URL, _ change: (inout CacheManifest) -> Void) throws {
        let url = directory.appendingPathComponent(CacheManifest.fileName)
        var manifest = try JSONDecoder().decode(CacheManifest.self, from: Data(contentsOf: url))
        change(&manifest)
        try Data(try manifest.encoded()).write(to: url)
    }

    static let wildNumbers: [@Sendable (inout CacheManifest) -> Void] = [
        { $0.shards[0].records = -1 }, { $0.shards[0].rows = .max }, { $0.shards[1].tokens = .max },
        { $0.shards[0].splits = ["a": .max, "b": .max] }, { $0.shards[0].splits["train"] = -1 },
        { $0.shards[0].file.bytes = .max },
        { $0.shards[0].file.arrays["split"] = ArrayBytes(raw: .max, stored: .min) },
        { $0.description.maxLength = .max }, { $0.description.maxPromptLength = 0 },
        { $0.description.topK = -1 }, { $0.description.teacher.hiddenSize = 1 << 21 },
        { $0.description.teacher.vocabularySize = 0 }, { $0.description.shardPlan = [.max, .max] },
    ]

    @Test("numbers that no cache can have are refused", arguments: wildNumbers.indices)
    func numbers(index: Int) throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        try rewriteManifest(scratch.url, Self.wildNumbers[index])
        let error = try #require(throws: CacheError.self) {
            try CacheReader(directory: scratch.url)
        }
        #expect(error.kind == .corrupt && error.path.hasSuffix("manifest.json"))
    }

    @Test("a manifest without the examples' hash is read, and another hash is a difference")
    func examplesHash() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let url = scratch.url.appendingPathComponent(CacheManifest.fileName)
        #expect(try !String(contentsOf: url, encoding: .utf8).contains("examplesSHA256"))
        let old = try CacheReader(directory: scratch.url).manifest.description
        try rewriteManifest(scratch.url) { $0.description.dataset.examplesSHA256 = "ef" }
        let new = try CacheReader(directory: scratch.url).manifest.description
        #expect(new.dataset.examplesSHA256 == "ef")
        #expect(
            new.differences(from: old) == ["dataset.examplesSHA256: ef here,  there"]
        )
    }

    @Test("a shard that is a symbolic link is refused")
    func link() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        let url = scratch.url.appendingPathComponent("shards/00000.h5")
        let elsewhere = scratch.url.appendingPathComponent("elsewhere.h5")
        try FileManager.default.moveItem(at: url, to: elsewhere)
        try FileManager.default.createSymbolicLink(at: url, withDestinationURL: elsewhere)
        #expect(throws: CacheError.self) { try CacheReader(directory: scratch.url).shard(0) }
    }
}

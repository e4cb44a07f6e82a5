import Foundation
import Testing

@testable import Cache

/// `Fixtures/versions` has caches that the code of those versions wrote.
@Suite("Versions of the format")
struct VersionTests {
    private func fixture(_ version: Int, to scratch: Scratch) throws -> URL {
        let from = try #require(
            Bundle.module.url(
                forResource: "version\(version)",
                withExtension: nil,
                subdirectory: "Fixtures/versions"
            )
        )
        let url = scratch.url.appendingPathComponent("cache")
        try FileManager.default.copyItem(at: from, to: url)
        return url
    }

    private static let second = SignalSample(
        CacheSignals(
            hiddenType: .f16,
            hiddenLayers: [1],
            positions: .all,
            samples: 5,
            fullLogits: .bf16
        ),
        base: SampleCache(shardSizes: [2, 3]),
        softCap: 30
    )

    @Test("caches of versions 1 and 2 are read as they were written", arguments: [1, 2])
    func older(version: Int) throws {
        let scratch = try Scratch()
        let reader = try CacheReader(directory: try fixture(version, to: scratch))
        #expect(reader.manifest.description.formatVersion == version)
        let sample = SampleCache()
        for shard in 0..<2 {
            let there = try reader.shard(shard)
            let expected =
                version == 1 ? sample.records(ofShard: shard) : Self.second.records(ofShard: shard)
            for (i, record) in expected.enumerated() {
                let extra = version == 1 ? ExtraSignals() : Self.second.all
                #expect(try there.record(i, extra: extra) == record)
            }
        }
        #expect(try reader.teacherHead().values == sample.headValues)
        #expect(try reader.teacherEmbedding().values == sample.embeddingValues)
        #expect(try CacheVerifier().verify(reader.directory).isWhole)
    }

    @Test("an extraction that an older version began goes on in that version, to the same bytes")
    func takenUp() throws {
        let scratch = try Scratch()
        let url = try fixture(1, to: scratch)
        let whole = try contents(of: url)
        for name in ["manifest.json", "README.md", "shards/00001.h5", "teacher.h5"] {
            try FileManager.default.removeItem(at: url.appendingPathComponent(name))
        }
        try SampleCache().write(to: url)
        let made = try contents(of: url)
        #expect(
            made.filter { $0.key != "README.md" && $0.key != "manifest.json" }
                == whole.filter { $0.key != "README.md" && $0.key != "manifest.json" }
        )
        #expect(try CacheReader(directory: url).manifest.description.formatVersion == 1)
    }

    @Test("deflate packs every array without plug-ins, and all comes back")
    func deflate() throws {
        let scratch = try Scratch()
        var sample = SignalSample(
            CacheSignals(hiddenLayers: [3], samples: 9, fullLogits: .bf16),
            base: SampleCache(shardSizes: [40], width: 64)
        )
        sample.compression = .deflate
        try sample.write(to: scratch.url)
        let reader = try CacheReader(directory: scratch.url)
        #expect(reader.manifest.description.compression == .deflate)
        let entry = reader.manifest.shards[0].file
        let file = try VerifiedFile(scratch.url.appendingPathComponent(entry.path), entry: entry)
        for array in try file.list(limit: 1 << 30).arrays.values where array.rows > 0 {
            #expect(array.codec == (array.type.size == 1 ? .deflate : .shuffledDeflate))
        }
        for (i, record) in sample.records(ofShard: 0).enumerated() {
            #expect(try reader.shard(0).record(i, extra: sample.all) == record)
        }
    }

    @Test(
        "a head that bf16 or f16 holds exactly is stored so",
        arguments: [ElementType.bf16, .f16, .f32]
    )
    func exactHead(type: ElementType) throws {
        let scratch = try Scratch()
        let sample = SampleCache()
        let step: Float = type == .f32 ? 1 / 3 : type == .f16 ? 1 / 1024 : 0x1p60
        let head = (0..<sample.vocabulary * sample.width).map {
            Float($0 % 256) * step + (type == .f16 ? 1 : 0)
        }
        let writer = try sample.writer(scratch.url)
        for shard in 0..<2 { try sample.write(shard: shard, to: writer) }
        var tables = sample.tables
        tables.head = TeacherTables.rows(of: head, width: sample.width)
        try writer.writeTeacher(tables)
        try writer.finish(counts: [:])
        let reader = try CacheReader(directory: scratch.url)
        #expect(try reader.teacherHead().values == head)
        #expect(reader.manifest.teacher.arrays["head"]?.raw == head.count * type.size)
    }
}

import Foundation
import TestSupport
import Testing

@testable import Cache

@Suite("Exporting a cache")
struct ExportTests {
    private let sample = SampleCache(shardSizes: [3, 4])

    private func run(
        _ cache: URL,
        _ output: URL,
        _ options: CacheExporter.Options,
        stopAfter: Int = .max
    ) throws -> CacheExporter.Outcome? {
        var asked = 0
        return try CacheExporter(CacheReader(directory: cache), to: output, options).run(
            shouldStop: {
                asked += 1
                return asked > stopAfter
            }
        )
    }

    /// The header of a safetensors file and the bytes after it.
    private func parse(_ url: URL) throws -> (header: [String: Any], data: Data) {
        let bytes = try Data(contentsOf: url)
        let size = Int(bytes.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.1) << (8 * $1.0) })
        #expect(size % 8 == 0)
        let json = try JSONSerialization.jsonObject(with: bytes[8..<8 + size])
        return (try #require(json as? [String: Any]), Data(bytes[(8 + size)...]))
    }

    @Test("a safetensors file has the record's arrays without gaps, and its texts")
    func safetensors() throws {
        let (cache, out) = (try Scratch(), try Scratch())
        try sample.write(to: cache.url)
        let outcome = try run(cache.url, out.url, .init(format: .safetensors, teacher: true))
        #expect(outcome?.examples == 7 && outcome?.written == 7)
        for record in sample.allRecords {
            let file = out.url.appendingPathComponent("examples/\(record.id).safetensors")
            let (header, data) = try parse(file)
            let metadata = try #require(header["__metadata__"] as? [String: String])
            #expect(metadata["prompt"] == record.prompt && metadata["split"] == record.split)
            #expect(metadata["input"] == record.input && metadata["response"] == record.response)
            var end = 0
            let entries = header.compactMapValues { $0 as? [String: Any] }
                .filter { $0.key != "__metadata__" }
            let sorted = entries.sorted {
                (($0.value["data_offsets"] as? [Int])?[0] ?? 0)
                    < (($1.value["data_offsets"] as? [Int])?[0] ?? 0)
            }
            for (_, entry) in sorted where (entry["shape"] as? [Int])?.contains(0) == false {
                let offsets = try #require(entry["data_offsets"] as? [Int])
                #expect(offsets[0] == end)
                end = offsets[1]
            }
            #expect(end == data.count)
            let hidden = try #require(entries["hidden/final"])
            #expect(hidden["dtype"] as? String == "BF16")
            #expect(hidden["shape"] as? [Int] == [record.rows, sample.width])
            let range = try #require(hidden["data_offsets"] as? [Int])
            let halves = data[(data.startIndex + range[0])..<(data.startIndex + range[1])]
            let values = stride(from: 0, to: halves.count, by: 2).map { i -> Float in
                let low = UInt32(halves[halves.startIndex + i])
                let high = UInt32(halves[halves.startIndex + i + 1])
                return Float(bitPattern: (low | high << 8) << 16)
            }
            #expect(values == record.hidden)
            #expect(entries["token_ids"]?["dtype"] as? String == "I32")
        }
        let index = try String(
            contentsOf: out.url.appendingPathComponent("index.jsonl"),
            encoding: .utf8
        ).split(separator: "\n")
        let lines = try index.map {
            try JSONDecoder().decode(CacheExporter.IndexLine.self, from: Data($0.utf8))
        }
        #expect(lines.map(\.id) == sample.allRecords.map(\.id))
        #expect(lines.map(\.tokens) == sample.allRecords.map(\.tokenIDs.count))
        #expect(lines.map(\.rows) == sample.allRecords.map(\.rows))
        let (head, _) = try parse(out.url.appendingPathComponent("teacher.safetensors"))
        #expect((head["head"] as? [String: Any])?["shape"] as? [Int] == [50, 24])
        #expect((head["__metadata__"] as? [String: String])?["logit_scale"] == "0.5")
        let json = out.url.appendingPathComponent("tokenizer/tokenizer.json")
        #expect(try Data(contentsOf: json) == sample.tables.tokenizerFiles["tokenizer.json"])
    }

    @Test("NumPy's files begin at a multiple of 64, and bf16 is float32")
    func npy() throws {
        let (cache, out) = (try Scratch(), try Scratch())
        try sample.write(to: cache.url)
        _ = try run(cache.url, out.url, .init(format: .npy, split: "held_out", limit: 1))
        let record = try #require(sample.allRecords.first { $0.split == "held_out" })
        let names = try FileManager.default.contentsOfDirectory(
            atPath: out.url.appendingPathComponent("examples").path
        )
        #expect(names == [record.id])
        let bytes = try Data(
            contentsOf: out.url.appendingPathComponent("examples/\(record.id)/hidden.final.npy")
        )
        #expect(bytes.prefix(8) == Data([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0]))
        let start = 10 + Int(bytes[8]) + Int(bytes[9]) << 8
        #expect(start % 64 == 0 && bytes[start - 1] == 0x0A)
        let header = String(decoding: bytes[10..<start], as: UTF8.self)
        #expect(header.contains("'descr': '<f4'"))
        #expect(header.contains("'shape': (\(record.rows), \(sample.width))"))
        let values = bytes[start...].withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
        #expect(values == record.hidden)
    }

    @Test(
        "a stopped export goes on, and ends with the files of one that was not stopped",
        arguments: CacheExporter.Format.allCases
    )
    func resume(format: CacheExporter.Format) throws {
        let (cache, whole, out) = (try Scratch(), try Scratch(), try Scratch())
        try sample.write(to: cache.url)
        let options = CacheExporter.Options(format: format, teacher: true)
        _ = try run(cache.url, whole.url, options)
        #expect(try run(cache.url, out.url, options, stopAfter: 3) == nil)
        let examples = out.url.appendingPathComponent("examples")
        #expect(try FileManager.default.contentsOfDirectory(atPath: examples.path).count == 3)
        #expect(
            !FileManager.default.fileExists(
                atPath: out.url.appendingPathComponent("index.jsonl").path
            )
        )
        // What a kill leaves, of either kind.
        try FileManager.default.createDirectory(
            at: examples.appendingPathComponent(".0.x.tmp"),
            withIntermediateDirectories: false
        )
        try Data("x".utf8).write(to: examples.appendingPathComponent(".1.x.tmp"))
        // The page for people may change between.
        _ = try CacheCard.write(.init(name: "other"), to: cache.url)
        let outcome = try run(cache.url, out.url, options)
        #expect(outcome?.examples == 7 && outcome?.written == 4)
        #expect(try contents(of: out.url) == contents(of: whole.url))
        let again = try run(cache.url, out.url, options)
        #expect(again == .init(examples: 7, written: 0, bytes: 0))
    }

    @Test("what is in the way is not written over")
    func conflicts() throws {
        let (cache, out) = (try Scratch(), try Scratch())
        try sample.write(to: cache.url)
        let reader = try CacheReader(directory: cache.url)
        func conflict(_ options: CacheExporter.Options) throws -> String? {
            try CacheExporter(reader, to: out.url, options).conflict()
        }
        #expect(try conflict(.init(format: .npy)) == nil)
        let file = out.url.appendingPathComponent("mine.txt")
        try Data("mine".utf8).write(to: file)
        #expect(try conflict(.init(format: .npy)) == "the directory is not empty")
        #expect(throws: CacheError.self) { try run(cache.url, out.url, .init(format: .npy)) }
        #expect(try contents(of: out.url).count == 1)
        try FileManager.default.removeItem(at: file)
        _ = try run(cache.url, out.url, .init(format: .npy, limit: 2))
        #expect(try conflict(.init(format: .npy, limit: 2)) == nil)
        #expect(try conflict(.init(format: .npy, limit: 3))?.contains("other examples") == true)
        #expect(
            try conflict(.init(format: .safetensors))?.contains("another format, npy") == true
        )
        var other = sample
        other.width = 8
        let second = try Scratch()
        try other.write(to: second.url)
        let another = try CacheExporter(
            CacheReader(directory: second.url),
            to: out.url,
            .init(format: .npy, limit: 2)
        ).conflict()
        #expect(another == "holds an export of another cache")
        try Data("{}".utf8).write(to: out.url.appendingPathComponent("export.json"))
        #expect(try conflict(.init(format: .npy))?.contains("not an export's") == true)
    }

    @Test("ids and splits that are not there are refused before anything is written")
    func selection() throws {
        let (cache, out) = (try Scratch(), try Scratch())
        try sample.write(to: cache.url)
        let output = out.url.appendingPathComponent("new/export")
        let ids = [sample.record(5).id, sample.record(0).id]
        let absent = String(repeating: "f", count: 32)
        let error = #expect(throws: CacheError.self) {
            try run(cache.url, output, .init(format: .npy, ids: ids + [absent]))
        }
        #expect(error?.kind == .corrupt && error?.message.contains(absent) == true)
        let split = #expect(throws: CacheError.self) {
            try run(cache.url, output, .init(format: .npy, split: "tset"))
        }
        #expect(split?.kind == .missing && split?.remedy.contains("held_out, train") == true)
        #expect(!FileManager.default.fileExists(atPath: output.path))
        #expect(try run(cache.url, output, .init(format: .npy, ids: ids))?.examples == 2)
    }

    @Test(
        "every kind of signal is written",
        arguments: [
            CacheSignals(hiddenType: .int8, positions: .all, samples: 7, sampleSeed: 1),
            CacheSignals(hiddenType: .f16, hiddenLayers: [0, 2], fullLogits: .f16),
            CacheSignals(hiddenType: .f32, fullLogits: .bf16),
        ]
    )
    func signals(_ signals: CacheSignals) throws {
        let (cache, out) = (try Scratch(), try Scratch())
        let sample = SignalSample(signals)
        try sample.write(to: cache.url)
        _ = try run(cache.url, out.url, .init(format: .safetensors))
        let record = sample.record(0)
        let (header, _) = try parse(
            out.url.appendingPathComponent("examples/\(record.id).safetensors")
        )
        var names =
            ShardFormat.arrays(sample.description).filter(\.isByRow).map(\.name)
            .filter { !$0.hasSuffix("_scale") } + ["token_ids", "supervised", "__metadata__"]
        if signals.samples > 0 {
            names += [
                ShardFormat.sampleOffsets, ShardFormat.sampleIDs, ShardFormat.sampleCounts,
            ]
        }
        #expect(Set(header.keys) == Set(names))
        let hidden = try #require(header["hidden/final"] as? [String: Any])
        let type = ["int8": "F32", "f16": "F16", "f32": "F32"][signals.hiddenType.rawValue]
        #expect(hidden["dtype"] as? String == type)
        #expect(hidden["shape"] as? [Int] == [record.rows, 24])
    }

    @Test(
        "a full disk stops an export without half a file, and it goes on when there is room",
        .enabled(if: SmallDisk.isAvailable),
        arguments: [16, 48, 96]
    )
    func fullDisk(kibibytes: Int) throws {
        let (cache, whole) = (try Scratch(), try Scratch())
        let sample = SampleCache(shardSizes: [6, 6], width: 300)
        try sample.write(to: cache.url)
        let options = CacheExporter.Options(format: .safetensors)
        _ = try run(cache.url, whole.url, options)
        let disk = try #require(SmallDisk(kibibytes: kibibytes))
        let output = disk.url.appendingPathComponent("out")
        let error = try #require(throws: CacheError.self) {
            try run(cache.url, output, options)
        }
        #expect(error.kind == .diskFull && error.path.hasPrefix(output.path), "\(error)")
        let wanted = try contents(of: whole.url)
        for (name, data) in try contents(of: output) { #expect(wanted[name] == data, "\(name)") }
        #expect(disk.grow(kibibytes: 4096))
        _ = try run(cache.url, output, options)
        #expect(try contents(of: output) == wanted)
    }
}

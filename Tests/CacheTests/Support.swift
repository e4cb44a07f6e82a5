import CKernels
import Foundation

@testable import Cache

/// A directory that is removed when the test lets go of it.
final class Scratch {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-cache-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}

/// A small cache whose content depends on its arguments only.
struct SampleCache {
    var shardSizes = [3, 4]
    var width = 24
    var topK = 5
    var vocabulary = 50
    var longest = 40

    var description: CacheDescription {
        CacheDescription(
            teacher: .init(
                name: "tiny",
                architecture: "llama",
                hiddenSize: width,
                vocabularySize: vocabulary,
                weightsSHA256: "00",
                computeType: "f32"
            ),
            tokenizer: .init(fingerprint: "ab", eos: 2),
            template: "plain",
            dataset: .init(name: "data.jsonl", sha256: "cd"),
            maxPromptLength: 20,
            maxLength: longest,
            topK: topK,
            shardPlan: shardSizes
        )
    }

    /// Values are already such that bf16 and f16 hold them exactly.
    func record(_ number: Int) -> CacheRecord {
        var generator = OrderGenerator(seed: 7, epoch: 0, stream: number)
        func below(_ n: Int) -> Int { Int(generator.next() % UInt64(n)) }
        let length = 2 + below(longest - 2)
        let first = below(length - 1)
        let rows = length - 1 - first
        let digits = String(number, radix: 16)
        return CacheRecord(
            id: String(repeating: "0", count: 32 - digits.count) + digits,
            split: number % 3 == 2 ? "held_out" : "train",
            prompt: "Frage \(number)? Übermaß 🙂",
            response: number == 1 ? "" : String(repeating: "word ", count: below(30)),
            input: number % 2 == 0 ? "" : "input\n\(number)",
            tokenIDs: (0..<length).map { _ in UInt32(below(vocabulary)) },
            supervised: first..<first + rows,
            hidden: (0..<rows * width).map { _ in Float(below(256) - 128) / 32 },
            topKIDs: (0..<rows * topK).map { _ in UInt32(below(vocabulary)) },
            topKLogProbs: (0..<rows * topK).map { _ in -Float(below(1024)) / 64 },
            logPartition: (0..<(topK > 0 ? rows : 0)).map { _ in Float(below(1000)) / 7 }
        )
    }

    func records(ofShard shard: Int) -> [CacheRecord] {
        let first = shardSizes[..<shard].reduce(0, +)
        return (first..<first + shardSizes[shard]).map(record)
    }

    var allRecords: [CacheRecord] { shardSizes.indices.flatMap(records) }

    var headValues: [Float] { (0..<vocabulary * width).map { Float($0) / 3 } }
    var embeddingValues: [Float] { (0..<3 * width).map { -Float($0) } }

    var tables: TeacherTables {
        TeacherTables(
            head: TeacherTables.rows(of: headValues, width: width),
            embeddingIDs: [0, 7, 31],
            embedding: TeacherTables.rows(of: embeddingValues, width: width),
            tokenizerFiles: [
                "tokenizer.json": Data(#"{"model":{}}"#.utf8), "merges.txt": Data(),
            ],
            logitScale: 0.5
        )
    }

    func writer(_ directory: URL) throws -> CacheWriter {
        try CacheWriter(
            directory: directory,
            description: description,
            plannedShards: shardSizes.count
        )
    }

    @discardableResult
    func write(shard: Int, to writer: CacheWriter) throws -> ShardEntry {
        let records = records(ofShard: shard)
        let shardWriter = try writer.beginShard(shard, expectedRecords: records.count)
        for record in records { try shardWriter.append(record) }
        return try shardWriter.finish()
    }

    func write(to directory: URL) throws {
        let writer = try writer(directory)
        for shard in shardSizes.indices where !writer.completedShards.contains(shard) {
            try write(shard: shard, to: writer)
        }
        if !writer.hasTeacher { try writer.writeTeacher(tables) }
        try writer.finish(counts: ["written": shardSizes.reduce(0, +), "cut": 1])
    }
}

/// Names and contents of the files below a directory, the journal left out (its order may vary).
func contents(of directory: URL) throws -> [String: Data] {
    var result: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
        let url = directory.appendingPathComponent(name)
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
        if !isDirectory.boolValue && name != CacheJournal.fileName {
            result[name] = try Data(contentsOf: url)
        }
    }
    return result
}

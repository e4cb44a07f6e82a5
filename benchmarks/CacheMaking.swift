import Cache
import Foundation

/// Caches to measure with, made from a real one.
extension CacheBench {
    /// Repeats the examples of a cache until there are enough.
    ///
    /// Each row is multiplied by a number of its own near 1 (unless `exact`): mantissas of all lengths, the
    /// statistics of the original.
    func make(_ request: CacheRequest) throws -> [String: Double] {
        let (shards, size) = (request.shards ?? 1, request.examples ?? 0)
        let original = try Self.examples(of: request.origin)
        let count = size == 0 ? original.count : size
        let writer = try writer(request, plan: Array(repeating: count, count: shards))
        var random = SystemRandomNumberGenerator()
        for index in 0..<shards {
            let shard = try writer.beginShard(index, expectedRecords: count)
            for number in 0..<count {
                let place = index * count + number
                var record = original[place % original.count]
                if request.exact != true { Self.change(&record, place, using: &random) }
                try shard.append(record)
            }
            _ = try shard.finish()
        }
        try writer.finish(counts: [:])
        return ["rows": Double(writer.entries.reduce(0) { $0 + $1.rows })]
    }

    /// A writer of a cache like the original one, but for what the request says; its teacher is all zeros.
    func writer(_ request: CacheRequest, plan: [Int]) throws -> CacheWriter {
        try? FileManager.default.removeItem(at: request.directory)
        let original = try CacheReader(directory: request.origin).manifest.description
        let description = CacheDescription(
            teacher: original.teacher,
            tokenizer: original.tokenizer,
            template: original.template,
            dataset: original.dataset,
            maxPromptLength: original.maxPromptLength,
            maxLength: original.maxLength,
            topK: original.topK,
            shardPlan: plan,
            signals: CacheSignals(hiddenType: request.hiddenType ?? .bf16),
            compression: request.compression ?? .lz4
        )
        let writer = try CacheWriter(
            directory: request.directory,
            description: description,
            plannedShards: plan.count
        )
        try writer.writeTeacher(
            TeacherTables(
                head: { _, target in target.update(repeating: 0) },
                embeddingIDs: [],
                embedding: { _, _ in },
                tokenizerFiles: [:]
            )
        )
        return writer
    }

    /// All examples of a cache, in the order of its files.
    static func examples(of directory: URL) throws -> [CacheRecord] {
        let reader = try CacheReader(directory: directory)
        return try (0..<reader.shardCount).flatMap { index in
            let shard = try reader.shard(index)
            return try (0..<shard.recordCount).map { try shard.record($0) }
        }
    }

    private static func change(
        _ record: inout CacheRecord,
        _ place: Int,
        using random: inout SystemRandomNumberGenerator
    ) {
        let digits = String(place, radix: 16)
        record.id = String(repeating: "0", count: 32 - digits.count) + digits
        record.split = "train"
        let width = record.hidden.count / max(1, record.rows)
        for row in 0..<record.rows {
            let factor = 1 + Float.random(in: -0.05...0.05, using: &random)
            for i in row * width..<(row + 1) * width { record.hidden[i] *= factor }
            let shift = Float.random(in: -0.02...0, using: &random)
            let k = record.topKLogProbs.count / record.rows
            for i in row * k..<(row + 1) * k { record.topKLogProbs[i] += shift }
        }
    }

    /// A cache of many shards that are all the same files: those of another one, in turns.
    func link(_ request: CacheRequest) throws -> [String: Double] {
        let files = FileManager.default
        try? files.removeItem(at: request.directory)
        var manifest = try CacheReader(directory: request.origin).manifest
        let there = manifest.shards
        let folder = request.directory.appendingPathComponent("shards")
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        manifest.shards = try (0..<(request.shards ?? 1)).map { index in
            var entry = there[index % there.count]
            let path = String(format: "shards/%05d.h5", index)
            try files.linkItem(
                at: request.origin.appendingPathComponent(entry.file.path),
                to: request.directory.appendingPathComponent(path)
            )
            (entry.index, entry.file.path) = (index, path)
            return entry
        }
        manifest.description.shardPlan = manifest.shards.map(\.records)
        try Data(try manifest.text()).write(
            to: request.directory.appendingPathComponent("manifest.json")
        )
        return [
            "examples": Double(manifest.shards.reduce(0) { $0 + $1.records }),
            "bytes": Double(manifest.shards.reduce(0) { $0 + $1.file.bytes }),
        ]
    }
}

import Foundation

/// One cache out of several finished ones, made from different examples with the same teacher and
/// settings.
///
/// Shards are linked, or copied from other disks, and not written again. `CacheMerger` puts parts of one
/// extraction together instead.
public struct CacheUnion {
    private let readers: [CacheReader]
    /// What the new cache is made from.
    public let description: CacheDescription

    /// What may differ between the caches.
    private static let free = ["dataset", "shardPlan", "formatVersion", "compression", "origins"]

    /// Compares the caches and their examples.
    ///
    /// - Throws: `CacheError.mismatch` naming the settings in which they differ, or an example that two
    ///   of them have.
    public init(_ directories: [URL]) throws {
        readers = try directories.map { try CacheReader(directory: $0) }
        guard let first = readers.first else {
            throw CacheError(
                .missing,
                path: "",
                "there is nothing to merge",
                remedy: "Name caches."
            )
        }
        let made = first.manifest.description
        for reader in readers.dropFirst() {
            let differences = reader.manifest.description.differences(
                from: made,
                ignoring: Self.free
            )
            guard differences.isEmpty else {
                throw CacheError(
                    .mismatch,
                    path: reader.directory.path,
                    "does not go with \(first.directory.path): "
                        + differences.joined(separator: "; "),
                    remedy: "Merge what was made with the same teacher and settings only."
                )
            }
        }
        let examples = try Self.examples(readers)
        let datasets = readers.map(\.manifest.description.dataset)
        let names = datasets.map(\.name).reduce(into: [String]()) {
            if !$0.contains($1) { $0.append($1) }
        }
        description = made.derived(
            dataset: .init(
                name: names.joined(separator: " + "),
                sha256: sha256(of: Data(datasets.map { $0.sha256 + "\n" }.joined().utf8)),
                examplesSHA256: CacheDescription.Dataset.fingerprint(of: examples)
            ),
            shardPlan: readers.flatMap { $0.manifest.shards.map(\.records) },
            origins: readers.map(\.contentSHA256)
        )
    }

    private static func examples(_ readers: [CacheReader]) throws -> [(id: String, split: String)] {
        var result: [(id: String, split: String)] = []
        var owners: [String: Int] = [:]
        for (number, reader) in readers.enumerated() {
            for index in 0..<reader.shardCount {
                let shard = try reader.shard(index)
                for (id, split) in zip(shard.ids, shard.splits) {
                    if let owner = owners.updateValue(number, forKey: id), owner != number {
                        throw CacheError(
                            .mismatch,
                            path: reader.directory.path,
                            "example \(id) is in \(readers[owner].directory.path) as well",
                            remedy: "Leave one of them out: retort cache subset CACHE OUT "
                                + "--without \(readers[owner].directory.path)"
                        )
                    }
                    result.append((id, split))
                }
            }
        }
        return result
    }

    /// Makes the new cache; the same call goes on where one was stopped.
    ///
    /// - Returns: False when stopped.
    /// - Throws: `CacheError`; `corrupt` naming a file that is not what its manifest says.
    public func write(
        to output: URL,
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Bool {
        try CacheWriter.requireFree(output)
        let total = description.shardPlan.count
        let writer = try CacheWriter(
            directory: output,
            description: description,
            plannedShards: total
        )
        if !writer.hasTeacher { try writer.writeTeacher(try tables()) }
        var index = 0
        for reader in readers {
            for entry in reader.manifest.shards {
                if shouldStop() { return false }
                if !writer.completedShards.contains(index) {
                    var made = entry
                    made.index = index
                    made.file.path = CacheLayout.shardPath(index)
                    try reader.bring(entry.file, as: made.file.path, to: output)
                    try writer.enter(made)
                }
                index += 1
                progress(index, total)
            }
        }
        try writer.finish(counts: ["examples": description.shardPlan.reduce(0, +)])
        return true
    }

    /// The first cache's head, and the embedding rows that any of them has.
    private func tables() throws -> TeacherTables {
        var all = try readers[0].tables()
        let parts = try readers.map { try $0.tables() }
        var places: [UInt32: (part: Int, row: Int)] = [:]
        for (part, tables) in parts.enumerated() {
            for (row, id) in tables.embeddingIDs.enumerated() where places[id] == nil {
                places[id] = (part, row)
            }
        }
        let ids = places.keys.sorted()
        let width = description.teacher.hiddenSize
        all.embeddingIDs = ids
        all.embedding = { range, target in
            for (i, id) in ids[range].enumerated() {
                guard let place = places[id] else { continue }
                let row = UnsafeMutableBufferPointer(rebasing: target[i * width..<(i + 1) * width])
                try parts[place.part].embedding(place.row..<place.row + 1, row)
            }
        }
        return all
    }
}

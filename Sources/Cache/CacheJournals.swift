import Foundation

/// All the journals of a cache, read while others may be appending to theirs.
struct CacheJournals {
    /// What the cache is made from, as `journal.jsonl` has it.
    private(set) var description: CacheDescription?
    /// What the extractor counted.
    private(set) var counts: [String: Int]?
    /// Each shard's entries; more than one only when it was made more than once, with other bytes.
    private(set) var shards: [Int: [ShardEntry]] = [:]
    /// Those of `teacher.h5`, likewise.
    private(set) var teachers: [FileEntry] = []

    let directory: URL
    /// Bytes of each journal that were read.
    private var positions: [String: Int] = [:]

    init(directory: URL) { self.directory = directory }

    /// The names of the journals: `journal.jsonl` first when it is there, then the others, sorted.
    static func names(in directory: URL) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return names.filter { $0 == CacheJournal.fileName }
            + names.filter { $0.hasPrefix("journal-") && $0.hasSuffix(".jsonl") }.sorted()
    }

    /// Reads what was appended since the last time.
    ///
    /// - Throws: `CacheError` for a damaged line, or a journal that belongs to another cache.
    mutating func update() throws {
        for name in Self.names(in: directory) {
            let url = directory.appendingPathComponent(name)
            let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard descriptor >= 0 else { throw CacheError.system(url.path, "open", code: errno) }
            defer { close(descriptor) }
            let size = try DurableFile.size(descriptor, path: url.path)
            let start = positions[name] ?? 0
            guard size > start else { continue }
            var bytes = [UInt8](repeating: 0, count: size - start)
            try bytes.withUnsafeMutableBytes {
                try DurableFile.readAll(descriptor, path: url.path, offset: start, into: $0)
            }
            // What follows the last newline is being written, or was when its writer was killed.
            let whole = (bytes.lastIndex(of: 0x0A) ?? -1) + 1
            let lines = try CacheJournal.parse(bytes[..<whole], path: url.path)
            if start == 0, let first = lines.first, first.description == nil {
                throw CacheError.corrupt(url.path, "the first line is not a description")
            }
            for line in lines { try add(line, path: url.path) }
            positions[name] = start + whole
        }
    }

    private mutating func add(_ line: CacheJournal.Line, path: String) throws {
        if let other = line.description {
            let differences = description.map { other.differences(from: $0) } ?? []
            guard differences.isEmpty else {
                throw CacheError(
                    .mismatch,
                    path: path,
                    "belongs to another cache: \(differences.joined(separator: "; "))",
                    remedy: "Move this file away; the shards it lists will be made again."
                )
            }
            description = other
        }
        guard line.shard?.countsAddUp ?? true else {
            throw CacheError.corrupt(path, "the counts of a shard do not add up")
        }
        counts = line.counts ?? counts
        if let entry = line.shard, entry.file.path == CacheLayout.shardPath(entry.index),
            shards[entry.index]?.contains(entry) != true
        {
            shards[entry.index, default: []].append(entry)
        }
        if let entry = line.teacher, entry.path == CacheLayout.teacher, !teachers.contains(entry) {
            teachers.append(entry)
        }
    }
}

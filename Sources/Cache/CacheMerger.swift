import Foundation

/// Puts a cache together from parts that workers made on disks of their own.
public struct CacheMerger {
    /// What a merge left.
    public struct Outcome: Codable, Sendable, Equatable {
        /// Shards of the cache.
        public var shards: Int
        /// Files that this merge put in.
        public var filesAdded: Int
        /// Shards that none of the parts has.
        public var missingShards: [Int]
        /// True when none of the parts has `teacher.h5`.
        public var isTeacherMissing: Bool
        /// True when the cache is complete and has its manifest.
        public var isComplete: Bool { missingShards.isEmpty && !isTeacherMissing }
    }

    /// One of the parts: what its manifest or its journals say.
    private struct Part {
        let directory: URL
        let description: CacheDescription
        let counts: [String: Int]?
        let shards: [Int: [ShardEntry]]
        let teachers: [FileEntry]
        let isFinished: Bool

        init(_ directory: URL) throws {
            self.directory = directory
            let manifest = directory.appendingPathComponent(CacheManifest.fileName)
            isFinished = FileManager.default.fileExists(atPath: manifest.path)
            if isFinished {
                let manifest = try CacheManifest.read(directory)
                description = manifest.description
                counts = manifest.counts
                shards = Dictionary(manifest.shards.map { ($0.index, [$0]) }) { $0 + $1 }
                teachers = [manifest.teacher]
                return
            }
            var journals = CacheJournals(directory: directory)
            try journals.update()
            guard let made = journals.description else {
                throw CacheError(
                    .missing,
                    path: directory.path,
                    "there is no cache, nor the beginning of one",
                    remedy: "Check the path."
                )
            }
            description = made
            counts = journals.counts
            shards = journals.shards
            teachers = journals.teachers
        }
    }

    private let parts: [Part]
    private let output: URL

    /// Reads what the parts are.
    ///
    /// - Throws: `CacheError.mismatch` naming the settings when they are parts of different caches.
    public init(parts directories: [URL], output: URL) throws {
        self.output = output
        parts = try directories.map(Part.init)
        guard let first = parts.first else {
            throw CacheError(
                .missing,
                path: output.path,
                "there is nothing to merge",
                remedy: "Name the parts before the output."
            )
        }
        for part in parts.dropFirst() {
            let differences = part.description.differences(from: first.description)
            guard differences.isEmpty else {
                throw CacheError(
                    .mismatch,
                    path: part.directory.path,
                    "not a part of the same cache as \(first.directory.path): "
                        + differences.joined(separator: "; "),
                    remedy: "Merge what was made with the same teacher, data and settings only."
                )
            }
        }
    }

    /// Whether these are finished caches of different examples, and not parts or copies of one.
    ///
    /// - Throws: `CacheError` when one of them is no cache.
    public static func areWholeCaches(_ directories: [URL]) throws -> Bool {
        let parts = try directories.map(Part.init)
        guard let first = parts.first, parts.count > 1 else { return false }
        return parts.allSatisfy(\.isFinished)
            && parts.dropFirst().contains { $0.description != first.description }
    }

    /// Links, or copies, what the output lacks; writes the manifest when that makes it complete.
    ///
    /// Each file is hashed before it gets its name. Running again goes on; a damaged file is
    /// replaced when another part has a whole one.
    /// - Parameters:
    ///   - progress: Called after each shard with the number of shards done, of all.
    ///   - shouldStop: Asked as often.
    /// - Returns: Nil when stopped.
    /// - Throws: `CacheError.mismatch` when two parts have different bytes for the same shard.
    public func merge(
        progress: (_ done: Int, _ of: Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Outcome? {
        guard let description = parts.first?.description else { return nil }
        let planned = description.shardPlan.count
        try CacheWriter.requireFree(output)
        let writer = try CacheWriter(
            directory: output,
            description: description,
            plannedShards: planned
        )
        let before = writer.completedShards.count + (writer.hasTeacher ? 1 : 0)
        if let counts = try agreed(parts.compactMap(\.counts), on: "counts") {
            try writer.note(counts: counts)
        }
        // Equal or refused: nothing decides between two answers of one teacher.
        let teacher = try agreed(parts.flatMap(\.teachers), on: CacheLayout.teacher)
        if let teacher, !writer.hasTeacher {
            try bring(teacher) { $0.teachers.contains(teacher) }
            try writer.enter(teacher: teacher)
        }
        for index in 0..<planned {
            if shouldStop() { return nil }
            let found = parts.flatMap { $0.shards[index] ?? [] } + writer.entries(ofShard: index)
            if let entry = try agreed(found, on: CacheLayout.shardPath(index)),
                !writer.completedShards.contains(index)
            {
                guard entry.records == description.shardPlan[index] else {
                    throw CacheError.corrupt(
                        output.path,
                        "a part's journal gives shard \(index) \(entry.records) examples, its plan "
                            + "\(description.shardPlan[index])"
                    )
                }
                try bring(entry.file) { $0.shards[index]?.contains(entry) == true }
                try writer.enter(entry)
            }
            progress(index + 1, planned)
        }
        let missing = writer.missing
        let outcome = Outcome(
            shards: planned,
            filesAdded: writer.completedShards.count + (writer.hasTeacher ? 1 : 0) - before,
            missingShards: missing.shards,
            isTeacherMissing: missing.teacher
        )
        if outcome.isComplete {
            guard let counts = writer.counts else {
                throw CacheError(
                    .unsupported,
                    path: output.path,
                    "every file is there, but the parts are of a version that kept no counts",
                    remedy: "Run the same extraction with this directory as its output: it writes "
                        + "the manifest and computes nothing."
                )
            }
            try writer.finish(counts: counts)
        }
        return outcome
    }

    private func agreed<T: Equatable>(_ values: [T], on name: String) throws -> T? {
        guard let first = values.first else { return nil }
        guard values.allSatisfy({ $0 == first }) else {
            throw CacheError(
                .mismatch,
                path: output.path,
                "the parts differ in \(name)",
                remedy: "Processors of different kinds round differently: delete all but one of "
                    + "the files, with its line in the journal beside it, and merge again."
            )
        }
        return first
    }

    /// Brings a file from the first part that has it whole.
    private func bring(_ entry: FileEntry, from hasEntry: (Part) -> Bool) throws {
        var failure: (any Error)?
        for part in parts where hasEntry(part) {
            do {
                return try DurableFile.link(
                    part.directory.appendingPathComponent(entry.path),
                    to: output.appendingPathComponent(entry.path)
                ) { descriptor, path in
                    guard try DurableFile.size(descriptor, path: path) == entry.bytes,
                        try sha256(descriptor: descriptor, path: path) == entry.sha256
                    else { throw CacheError.corrupt(path, "not what its journal says") }
                }
            } catch let error as CacheError where error.kind != .diskFull {
                failure = error
            }
        }
        if let failure { throw failure }
        throw CacheError.corrupt(
            output.appendingPathComponent(entry.path).path,
            "damaged, and none of the parts has it"
        )
    }
}

import Foundation

/// Fills a cache's directory, shard by shard; a second writer goes on where a first one stopped.
///
/// One writer at a time, held off by a lock on `journal.jsonl`.
public final class CacheWriter {
    /// The cache's directory.
    public let directory: URL
    /// What this cache is made from.
    public let description: CacheDescription
    /// Shards that are finished: entered in the journal, there, and with the right content.
    public private(set) var completedShards: Set<Int> = []
    /// True when `teacher.h5` is finished.
    public var hasTeacher: Bool { teacher != nil }
    /// The finished shards, in order.
    public var entries: [ShardEntry] { shards.keys.sorted().compactMap { shards[$0] } }

    private let plannedShards: Int
    private let journal: CacheJournal
    private var shards: [Int: ShardEntry] = [:]
    private var teacher: FileEntry?

    /// Creates the directory, or takes up what is there.
    ///
    /// Files named in the journal are hashed; one that is missing or different will be made again.
    /// - Throws: `CacheError.mismatch` naming the settings when the directory holds something else.
    public init(directory: URL, description: CacheDescription, plannedShards: Int) throws {
        self.directory = directory
        self.description = description
        self.plannedShards = plannedShards
        guard plannedShards >= 0, description.shardPlan.count == plannedShards else {
            throw CacheError(
                .mismatch,
                path: directory.path,
                "\(plannedShards) shards, but a plan for \(description.shardPlan.count)",
                remedy: "This is a fault of the extractor."
            )
        }
        let shardFolder = directory.appendingPathComponent(CacheLayout.shards)
        do {
            try FileManager.default.createDirectory(
                at: shardFolder,
                withIntermediateDirectories: true
            )
        } catch {
            throw CacheError(
                .io,
                path: shardFolder.path,
                "cannot be created: \(error.localizedDescription)",
                remedy: "Check the path, its permissions and the free space."
            )
        }
        journal = try CacheJournal(directory: directory)
        try takeUp()
        try DurableFile.removeLeftovers(in: directory)
        try DurableFile.removeLeftovers(in: shardFolder)
        try DurableFile.flush(directory: directory)
    }

    private func takeUp() throws {
        if let there = journal.lines.first?.description {
            let differences = description.differences(from: there)
            guard differences.isEmpty else {
                throw CacheError(
                    .mismatch,
                    path: directory.path,
                    "holds a cache made with other settings: \(differences.joined(separator: "; "))",
                    remedy: "Use another directory, or delete this one."
                )
            }
        } else if journal.lines.isEmpty {
            try journal.append(.init(description: description))
        } else {
            throw CacheError.corrupt(journal.path, "the first line is not a description")
        }
        for line in journal.lines {
            if let entry = line.shard, (0..<plannedShards).contains(entry.index),
                entry.file.path == CacheLayout.shardPath(entry.index)
            {
                shards[entry.index] = try isWhole(entry.file) ? entry : nil
            } else if let entry = line.teacher, entry.path == CacheLayout.teacher {
                teacher = try isWhole(entry) ? entry : nil
            }
        }
        completedShards = Set(shards.keys)
    }

    private func isWhole(_ entry: FileEntry) throws -> Bool {
        let path = directory.appendingPathComponent(entry.path).path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return try DurableFile.size(descriptor, path: path) == entry.bytes
            && sha256(descriptor: descriptor, path: path) == entry.sha256
    }

    /// Writes `teacher.h5`.
    public func writeTeacher(_ tables: TeacherTables) throws {
        let path = directory.appendingPathComponent(CacheLayout.teacher).path
        let (arrays, header) = try TeacherFormat.arrays(tables, description, path: path)
        let entry = try HDF5FileWriting.write(
            arrays,
            header: header,
            directory: directory,
            path: CacheLayout.teacher
        )
        try journal.append(.init(teacher: entry))
        teacher = entry
    }

    /// Begins shard `index`, which will hold `expectedRecords` examples.
    public func beginShard(_ index: Int, expectedRecords: Int) throws -> ShardWriter {
        guard (0..<plannedShards).contains(index), !completedShards.contains(index) else {
            throw CacheError(
                .unsupported,
                path: directory.path,
                "shard \(index) is finished, or not one of the \(plannedShards) planned",
                remedy: "Skip the shards in completedShards."
            )
        }
        return ShardWriter(writer: self, index: index, expectedRecords: expectedRecords)
    }

    func enter(_ entry: ShardEntry) throws {
        try journal.append(.init(shard: entry))
        shards[entry.index] = entry
        completedShards.insert(entry.index)
    }

    /// Writes README.md and manifest.json: from now on the cache can be read.
    ///
    /// - Throws: `CacheError.missing` when a shard or the teacher's tables are not there yet.
    public func finish(counts: [String: Int]) throws {
        let missing = (0..<plannedShards).filter { shards[$0] == nil }
        guard missing.isEmpty, let teacher else {
            let what =
                missing.isEmpty
                ? CacheLayout.teacher : "shards \(missing.map(String.init).joined(separator: ", "))"
            throw CacheError(
                .missing,
                path: directory.path,
                "\(what) not written yet",
                remedy: "Run the same extraction again."
            )
        }
        let text = [UInt8](
            CacheCard.text(description: description, entries: entries, counts: counts).utf8
        )
        try DurableFile.write(text, to: directory.appendingPathComponent(CacheLayout.readme))
        let readme = FileEntry(
            path: CacheLayout.readme,
            bytes: text.count,
            sha256: sha256(of: text),
            structureSHA256: "",
            dataRanges: [],
            arrays: [:]
        )
        let manifest = CacheManifest(
            checksum: "",
            description: description,
            counts: counts,
            shards: entries,
            teacher: teacher,
            readme: readme
        )
        try DurableFile.write(
            try manifest.encoded(),
            to: directory.appendingPathComponent(CacheManifest.fileName)
        )
    }
}

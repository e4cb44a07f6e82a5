import Foundation

/// Fills a cache's directory, shard by shard; a second writer goes on where a first one stopped.
///
/// One writer at a time, or any number of workers, each in a process of its own: see
/// `CacheJournal` for what each of them enters where, and `ShardClaim` for who does what.
public final class CacheWriter {
    /// The cache's directory.
    public let directory: URL
    /// What this cache is made from, in the version of the format that it was begun in.
    public let description: CacheDescription
    /// Shards that are finished: entered in a journal and there.
    ///
    /// Those that other workers finish come in with `refresh`.
    public var completedShards: Set<Int> { Set(shards.keys) }
    /// True when `teacher.h5` is finished.
    public var hasTeacher: Bool { teacher != nil }
    /// The finished shards, in order.
    public var entries: [ShardEntry] { shards.keys.sorted().compactMap { shards[$0] } }
    /// What the extractor counted, when a journal has it.
    public private(set) var counts: [String: Int]?

    private let plannedShards: Int
    private let worker: CacheWorker?
    private let claims: ShardClaims
    private let main: CacheJournal
    /// A worker's own, made when it has something to enter.
    private var own: CacheJournal?
    private var journals: CacheJournals
    private var shards: [Int: ShardEntry] = [:]
    private var teacher: FileEntry?
    /// Files of the right size and the wrong content: their size says nothing any more.
    private var damaged: Set<String> = []

    /// Creates the directory, or takes up what is there.
    ///
    /// Files named in the journals are hashed (by a worker: those dealt to it, of the others it
    /// looks at the size); one that is missing or different will be made again.
    /// - Parameters:
    ///   - worker: Which of several this is; nil for one that keeps all others out.
    ///   - claimTimeout: Seconds without a sign of life after which another's claim is dead.
    /// - Throws: `CacheError.mismatch` naming the settings when the directory holds something else.
    public init(
        directory: URL,
        description: CacheDescription,
        plannedShards: Int,
        worker: CacheWorker? = nil,
        claimTimeout: Int = 600
    ) throws {
        self.directory = directory
        self.plannedShards = plannedShards
        self.worker = worker
        claims = ShardClaims(cache: directory, timeout: claimTimeout, worker: worker)
        journals = CacheJournals(directory: directory)
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
        main = try CacheJournal(
            directory: directory,
            first: .init(description: description),
            isShared: worker != nil
        )
        let there = main.lines.first?.description
        // One that an older version began goes on as it was begun.
        self.description =
            there.flatMap { description.version($0.formatVersion) == $0 ? $0 : nil } ?? description
        try settle(shardFolder)
        try takeUp()
    }

    /// Whether a directory with these names in it is a cache, the beginning of one, or empty.
    public static func canTakeUp(_ names: [String]) -> Bool {
        names.contains(CacheJournal.fileName)
            || names.allSatisfy { $0 == CacheLayout.shards || $0 == ShardClaims.folder }
    }

    /// Refuses a directory that holds something else than a cache.
    ///
    /// - Throws: `CacheError.mismatch`.
    static func requireFree(_ output: URL) throws {
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: output.path, isDirectory: &isDirectory)
        let there = (try? FileManager.default.contentsOfDirectory(atPath: output.path)) ?? []
        guard !exists || (isDirectory.boolValue && canTakeUp(there)) else {
            throw CacheError(
                .mismatch,
                path: output.path,
                exists && !isDirectory.boolValue
                    ? "a file, not a directory"
                    : "the directory holds something that is not a cache",
                remedy: "Choose another output."
            )
        }
    }

    /// What the journals say of shard `index`, whether its file is there or not.
    func entries(ofShard index: Int) -> [ShardEntry] { journals.shards[index] ?? [] }

    /// Keeps others out, or lets other workers in; whoever is alone cleans up first.
    private func settle(_ shardFolder: URL) throws {
        let live = try claims.live()
        // The lock says so on one machine; on a file system without locks the claims do.
        if worker == nil, let first = live.first {
            throw CacheError(
                .io,
                path: directory.path,
                "\(live.count) claimed by others, the first by \(first.words)",
                remedy: "Wait for them, or stop them; \(claims.timeout) s after its last sign of "
                    + "life (extract.claim_timeout) a claim counts no more."
            )
        }
        if main.isAlone && live.isEmpty {
            try claims.clean()
            for folder in [directory, shardFolder, claims.directory] {
                try DurableFile.removeLeftovers(in: folder)
            }
            try DurableFile.flush(directory: directory)
        }
        if worker != nil { main.share() }
    }

    private func takeUp() throws {
        guard let there = main.lines.first?.description else {
            throw CacheError.corrupt(main.path, "the first line is not a description")
        }
        let differences = description.differences(from: there)
        guard differences.isEmpty else {
            throw CacheError(
                .mismatch,
                path: directory.path,
                "holds a cache made with other settings: \(differences.joined(separator: "; "))",
                remedy: "Use another directory."
            )
        }
        try refresh(hashing: { self.worker?.isDealt($0) ?? true })
    }

    /// Learns what other workers have finished since.
    public func refresh() throws { try refresh(hashing: { _ in false }) }

    private func refresh(hashing: (Int) -> Bool) throws {
        try journals.update()
        counts = journals.counts ?? counts
        for (index, found) in journals.shards
        where shards[index] == nil && (0..<plannedShards).contains(index) {
            // Two that did the same shard on processors of different kinds may have made different
            // bytes; the one that is there counts.
            let hashes = found.count > 1 || hashing(index)
            shards[index] = try found.last { try isWhole($0.file, hashes: hashes) }
        }
        if teacher == nil {
            let hashes = journals.teachers.count > 1 || hashing(0)
            teacher = try journals.teachers.last { try isWhole($0, hashes: hashes) }
        }
    }

    private func isWhole(_ entry: FileEntry, hashes: Bool) throws -> Bool {
        let path = directory.appendingPathComponent(entry.path).path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard try DurableFile.size(descriptor, path: path) == entry.bytes else { return false }
        guard hashes || damaged.contains(entry.path) else { return true }
        let isWhole = try sha256(descriptor: descriptor, path: path) == entry.sha256
        if isWhole { damaged.remove(entry.path) } else { damaged.insert(entry.path) }
        return isWhole
    }

    // MARK: Claims

    /// Takes shard `index`; nil when it is finished, or when a live process has it.
    public func claimShard(_ index: Int) throws -> ShardClaim? {
        try claim("shard-\(index)", file: CacheLayout.shardPath(index)) {
            self.shards[index] != nil
        }
    }

    /// Takes `teacher.h5`; nil when it is finished, or when a live process has it.
    public func claimTeacher() throws -> ShardClaim? {
        try claim("teacher", file: CacheLayout.teacher) { self.hasTeacher }
    }

    private func claim(_ name: String, file: String, isDone: () -> Bool) throws -> ShardClaim? {
        guard !isDone() else { return nil }
        guard let claim = try claims.take(name) else { return nil }
        do {
            // Its last holder may have finished just before: entered first, released afterwards.
            try refresh()
            guard !isDone() else {
                claim.release()
                return nil
            }
            let url = directory.appendingPathComponent(file)
            try DurableFile.removeLeftovers(
                in: url.deletingLastPathComponent(),
                of: url.lastPathComponent
            )
        } catch {
            claim.release()
            throw error
        }
        return claim
    }

    // MARK: Writing

    /// Enters what the extractor counted, so that a cache put together of parts can have it too.
    public func note(counts: [String: Int]) throws {
        guard self.counts != counts else { return }
        try append(.init(counts: counts))
        self.counts = counts
    }

    /// Writes `teacher.h5`.
    public func writeTeacher(_ tables: TeacherTables) throws {
        let path = directory.appendingPathComponent(CacheLayout.teacher).path
        let (arrays, header) = try TeacherFormat.arrays(tables, description, path: path)
        try enter(
            teacher: try HDF5FileWriting.write(
                arrays,
                header: header,
                directory: directory,
                path: CacheLayout.teacher
            )
        )
    }

    /// Begins shard `index`, which will hold `expectedRecords` examples.
    public func beginShard(_ index: Int, expectedRecords: Int) throws -> ShardWriter {
        guard (0..<plannedShards).contains(index), shards[index] == nil else {
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
        try append(.init(shard: entry))
        shards[entry.index] = entry
    }

    func enter(teacher entry: FileEntry) throws {
        try append(.init(teacher: entry))
        teacher = entry
    }

    private func append(_ line: CacheJournal.Line) throws {
        guard let worker else { return try main.append(line) }
        let journal = try own ?? CacheJournal(newIn: directory, worker: worker)
        if own == nil {
            try journal.append(.init(description: description))
            own = journal
        }
        try journal.append(line)
    }

    // MARK: The end

    /// What is not there yet: shards in order, and whether `teacher.h5` is.
    public var missing: (shards: [Int], teacher: Bool) {
        ((0..<plannedShards).filter { shards[$0] == nil }, teacher == nil)
    }

    /// Of files that two workers made, on processors of different kinds perhaps with other bytes, the
    /// one that is there counts.
    private func settleTwins() throws {
        try journals.update()
        for (index, found) in journals.shards where found.count > 1 {
            shards[index] = try found.last { try isWhole($0.file, hashes: true) }
        }
        if journals.teachers.count > 1 {
            teacher = try journals.teachers.last { try isWhole($0, hashes: true) }
        }
    }

    /// Writes README.md and manifest.json: from now on the cache can be read.
    ///
    /// Their bytes depend on the files of the cache alone, so that it does not matter which worker
    /// does it, nor if several do.
    /// - Throws: `CacheError.missing` when a shard or the teacher's tables are not there yet.
    public func finish(counts: [String: Int]) throws {
        try settleTwins()
        let missing = missing.shards
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
        // With them the journals alone tell what the manifest does.
        try note(counts: counts)
        var manifest = CacheManifest(
            checksum: "",
            description: description,
            counts: counts,
            shards: entries,
            teacher: teacher,
            readme: FileEntry(plain: CacheLayout.readme, [])
        )
        let text =
            CacheCard.kept(in: directory, of: manifest) ?? [UInt8](CacheCard(manifest).text.utf8)
        manifest.readme = FileEntry(plain: CacheLayout.readme, text)
        try DurableFile.write(text, to: directory.appendingPathComponent(CacheLayout.readme))
        try DurableFile.write(
            try manifest.encoded(),
            to: directory.appendingPathComponent(CacheManifest.fileName)
        )
        removeDeadClaims()
    }

    /// Removes the claims of dead processes, and `claims/` when it is empty.
    ///
    /// One that stays harms nobody, so that a failure is none of the cache's.
    public func removeDeadClaims() { try? claims.clean() }
}

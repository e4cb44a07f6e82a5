import Foundation

/// A finished cache, open for reading.
///
/// Safe to use from several threads.
public final class CacheReader: @unchecked Sendable {
    // Unchecked: `open`, `compared` and `teacherFile` are used under `lock` only.

    /// What the cache consists of.
    public let manifest: CacheManifest
    /// The cache's directory.
    public let directory: URL
    /// SHA-256 of what the manifest says, but for README.md: equal for caches of the same content.
    public let contentSHA256: String
    /// True when it is what is finished of a cache that is still being made.
    public let isSnapshot: Bool
    /// Number of shards.
    public var shardCount: Int { manifest.shards.count }

    private let lock = NSLock()
    let chunks: ChunkCache
    /// The shards in use, least recently used first: few, since each has tables in memory.
    private var open: [(index: Int, reader: ShardReader)] = []
    private static let openShards = 32
    /// Identity of every shard that was compared with the manifest.
    private var compared: [Int: String] = [:]
    private var teacherFile: (VerifiedFile, FileListing, TeacherFormat.Header)?

    /// Reads and checks the manifest; other files are checked when they are first used.
    ///
    /// - Parameters:
    ///   - unfinished: Whether, of a cache that is still being made, the finished shards will do; what
    ///     is finished later is not seen.
    ///   - chunkMemory: Bytes of unpacked chunks that are kept for the next record.
    /// - Throws: `CacheError.missing` when there is none, or the extraction is not finished.
    public init(directory: URL, unfinished: Bool = false, chunkMemory: Int = 64 << 20) throws {
        self.directory = directory
        chunks = ChunkCache(limit: chunkMemory)
        let names = [CacheManifest.fileName, CacheJournal.fileName].map {
            FileManager.default.fileExists(atPath: directory.appendingPathComponent($0).path)
        }
        isSnapshot = unfinished && names == [false, true]
        manifest = try isSnapshot ? .snapshot(directory) : .read(directory)
        contentSHA256 = try manifest.contentSHA256()
    }

    /// What of it can be read, for a person: `3 of 7 shards`.
    public var shardsInWords: String {
        "\(shardCount) of \(manifest.description.shardPlan.count) shards"
    }

    /// Shard `i`: its structure is compared with the manifest once in the life of this reader, its chunks
    /// with their checksums whenever they are read.
    public func shard(_ i: Int) throws -> ShardReader {
        precondition(manifest.shards.indices.contains(i), "shard \(i) of \(shardCount)")
        lock.lock()
        defer { lock.unlock() }
        if let position = open.firstIndex(where: { $0.index == i }) {
            let found = open.remove(at: position)
            open.append(found)
            return found.reader
        }
        let entry = manifest.shards[i]
        let file = try VerifiedFile(
            directory.appendingPathComponent(CacheLayout.shardPath(entry.index)),
            entry: entry.file,
            known: compared[i]
        )
        let reader = try ShardReader(
            file: file,
            description: manifest.description,
            entry: entry,
            chunks: chunks
        )
        compared[i] = file.identity
        if open.count >= Self.openShards { open.removeFirst() }
        open.append((i, reader))
        return reader
    }

    /// Examples of one split.
    public func recordCount(split: String) -> Int { manifest.splits[split] ?? 0 }

    /// The teacher's head: (V, D) row-major f32.
    public func teacherHead() throws -> (values: [Float], rows: Int, columns: Int) {
        let teacher = manifest.description.teacher
        let array = try teacherTable(TeacherFormat.head)
        return (
            try array.floats(rows: 0..<array.layout.rows), array.layout.rows, teacher.hiddenSize
        )
    }

    /// The kept embedding rows: sorted ids, and (n, D) row-major f32.
    public func teacherEmbedding() throws -> (ids: [UInt32], values: [Float]) {
        let ids = try embeddingIDs()
        return (ids, try teacherTable(TeacherFormat.embeddingRows).floats(rows: 0..<ids.count))
    }

    /// The ids whose embedding rows are kept, one for each row, sorted.
    func embeddingIDs() throws -> [UInt32] {
        let ids: [UInt32] = try teacherArray(TeacherFormat.embeddingIDs, [.u32]).allIntegers()
        let rows = try teacherTable(TeacherFormat.embeddingRows)
        guard rows.layout.rows == ids.count, zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 })
        else {
            throw CacheError.corrupt(teacherPath, "embedding ids are not one for each row, sorted")
        }
        return ids
    }

    /// Factor of every logit.
    public func logitScale() throws -> Float { try teacher().2.logitScale }

    /// The tokenizer's files by name; names are plain (no `/`, no leading dot).
    public func tokenizerFiles() throws -> [String: Data] {
        let names = try teacher().2.tokenizerFiles
        let bytes: [UInt8] = try teacherArray(TeacherFormat.tokenizerBytes, [.u8]).allIntegers()
        let offsets: [UInt64] = try teacherArray(TeacherFormat.tokenizerOffsets, [.u64])
            .allIntegers()
        guard offsets.count == names.count + 1, offsets.first == 0,
            offsets.last == UInt64(bytes.count),
            zip(offsets, offsets.dropFirst()).allSatisfy({ $0 <= $1 }),
            names.allSatisfy(TeacherFormat.isPlain)
        else { throw CacheError.corrupt(teacherPath, "the tokenizer's files are not in order") }
        var files: [String: Data] = [:]
        for (i, name) in names.enumerated() {
            files[name] = Data(bytes[Int(offsets[i])..<Int(offsets[i + 1])])
        }
        return files
    }

    private var teacherPath: String { directory.appendingPathComponent(CacheLayout.teacher).path }

    /// The head or the embedding: f32, or since version 3 a smaller type that holds them exactly.
    func teacherTable(_ name: String) throws -> ArrayReader {
        let (version, width) = (
            manifest.description.formatVersion, manifest.description.teacher.hiddenSize
        )
        let types: [ElementType] = version < 3 ? [.f32] : [.f32, .bf16, .f16]
        let table = try teacherArray(name, types, columns: width)
        guard
            name != TeacherFormat.head
                || table.layout.rows == manifest.description.teacher.vocabularySize
        else {
            throw CacheError.corrupt(teacherPath, "the head has \(table.layout.rows) rows")
        }
        return table
    }

    private func teacherArray(_ name: String, _ types: [ElementType], columns: Int? = nil) throws
        -> ArrayReader
    {
        let (file, listing, _) = try teacher()
        guard let layout = listing.arrays[name], types.contains(layout.type),
            layout.columns == columns
        else { throw CacheError.corrupt(teacherPath, "'\(name)' is missing, or of another shape") }
        let ordinal = TeacherFormat.names.firstIndex(of: name) ?? 0
        return ArrayReader(layout: layout, file: file, cache: chunks, ordinal: ordinal)
    }

    private func teacher() throws -> (VerifiedFile, FileListing, TeacherFormat.Header) {
        lock.lock()
        defer { lock.unlock() }
        if let teacherFile { return teacherFile }
        let file = try VerifiedFile(URL(fileURLWithPath: teacherPath), entry: manifest.teacher)
        let teacher = manifest.description.teacher
        let (elements, overflow) = teacher.hiddenSize.multipliedReportingOverflow(
            by: teacher.vocabularySize
        )
        let listing = try file.list(limit: overflow ? 1 << 40 : max(elements, 1 << 30))
        let header: TeacherFormat.Header
        do {
            header = try JSONDecoder().decode(
                TeacherFormat.Header.self,
                from: Data(listing.header.utf8)
            )
        } catch {
            throw CacheError.corrupt(teacherPath, "the header is not a teacher's: \(error)")
        }
        teacherFile = (file, listing, header)
        return (file, listing, header)
    }
}

import Foundation

/// A finished cache, open for reading.
///
/// Safe to use from several threads.
public final class CacheReader: @unchecked Sendable {
    // Unchecked: `open`, `hashed` and `teacherFile` are used under `lock` only.

    /// What the cache consists of.
    public let manifest: CacheManifest
    /// The cache's directory.
    public let directory: URL
    /// Number of shards.
    public var shardCount: Int { manifest.shards.count }

    private let lock = NSLock()
    /// The shards in use, least recently used first: few, since each holds unpacked chunks.
    private var open: [(index: Int, reader: ShardReader)] = []
    private static let openShards = 32
    /// Identity of every shard whose hash was compared.
    private var hashed: [Int: String] = [:]
    private var teacherFile: (VerifiedFile, FileListing, TeacherFormat.Header)?

    /// Reads and checks the manifest; other files are checked when they are first used.
    ///
    /// - Throws: `CacheError.missing` when there is none, or the extraction is not finished.
    public init(directory: URL) throws {
        self.directory = directory
        manifest = try CacheManifest.read(directory)
    }

    /// Shard `i`: its SHA-256 is compared once in the life of this reader.
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
            directory.appendingPathComponent(CacheLayout.shardPath(i)),
            entry: entry.file,
            known: hashed[i]
        )
        let reader = try ShardReader(
            file: file,
            index: i,
            description: manifest.description,
            entry: entry
        )
        hashed[i] = file.identity
        if open.count >= Self.openShards { open.removeFirst() }
        open.append((i, reader))
        return reader
    }

    /// Examples of one split.
    public func recordCount(split: String) -> Int { manifest.splits[split] ?? 0 }

    /// The teacher's head: (V, D) row-major f32.
    public func teacherHead() throws -> (values: [Float], rows: Int, columns: Int) {
        let teacher = manifest.description.teacher
        let array = try teacherArray(TeacherFormat.head, .f32, columns: teacher.hiddenSize)
        guard array.layout.rows == teacher.vocabularySize else {
            throw CacheError.corrupt(teacherPath, "the head has \(array.layout.rows) rows")
        }
        return (
            try array.floats(rows: 0..<array.layout.rows), array.layout.rows, teacher.hiddenSize
        )
    }

    /// The kept embedding rows: sorted ids, and (n, D) row-major f32.
    public func teacherEmbedding() throws -> (ids: [UInt32], values: [Float]) {
        let width = manifest.description.teacher.hiddenSize
        let ids: [UInt32] = try teacherArray(TeacherFormat.embeddingIDs, .u32).allIntegers()
        let rows = try teacherArray(TeacherFormat.embeddingRows, .f32, columns: width)
        guard rows.layout.rows == ids.count, zip(ids, ids.dropFirst()).allSatisfy({ $0 < $1 })
        else {
            throw CacheError.corrupt(teacherPath, "embedding ids are not one for each row, sorted")
        }
        return (ids, try rows.floats(rows: 0..<ids.count))
    }

    /// Factor of every logit.
    public func logitScale() throws -> Float { try teacher().2.logitScale }

    /// The tokenizer's files by name; names are plain (no `/`, no leading dot).
    public func tokenizerFiles() throws -> [String: Data] {
        let names = try teacher().2.tokenizerFiles
        let bytes: [UInt8] = try teacherArray(TeacherFormat.tokenizerBytes, .u8).allIntegers()
        let offsets: [UInt64] = try teacherArray(TeacherFormat.tokenizerOffsets, .u64).allIntegers()
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

    private func teacherArray(_ name: String, _ type: ElementType, columns: Int? = nil) throws
        -> ArrayReader
    {
        let (file, listing, _) = try teacher()
        guard let layout = listing.arrays[name], layout.type == type, layout.columns == columns
        else { throw CacheError.corrupt(teacherPath, "'\(name)' is missing, or of another shape") }
        return ArrayReader(layout: layout, descriptor: file.descriptor, path: teacherPath)
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

import Foundation

/// What a writer has finished, one line each; a line counts only when its newline is there.
///
/// A cache has `journal.jsonl`, of which the first line holds the description, and for each worker
/// that finished something a `journal-….jsonl` of its own, since appending to one file from several
/// machines is not safe on network file systems. `journal.jsonl` carries the lock: one writer, or
/// any number of workers.
final class CacheJournal {
    static let fileName = "journal.jsonl"

    /// One line; exactly one of the parts is there.
    struct Line: Codable, Equatable {
        var description: CacheDescription?
        /// What the extractor counted, for the manifest.
        var counts: [String: Int]?
        var shard: ShardEntry?
        var teacher: FileEntry?
    }

    let path: String
    /// Those that were there when the journal was opened, and those appended.
    private(set) var lines: [Line] = []
    /// True while no other writer can be at work.
    private(set) var isAlone = false
    private let descriptor: Int32
    /// About three seconds of them.
    private static let tries = 150

    /// Opens or creates `journal.jsonl` and locks it.
    ///
    /// As long as the lock excludes others, a line that a killed writer left is cut off, and a
    /// journal without lines gets `first`.
    init(directory: URL, first: Line, isShared: Bool) throws {
        path = directory.appendingPathComponent(Self.fileName).path
        let flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
        descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(path, "open", code: errno) }
        // Those that start at the same time exclude each other for a moment, while they look at what is there
        // already: they try for a while.
        for _ in 0..<Self.tries {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK {
                isAlone = flock(descriptor, LOCK_EX | LOCK_NB) == 0
                // A file system without locks: the claims alone keep writers apart.
                try begin(first)
                return
            }
            if isShared, flock(descriptor, LOCK_SH | LOCK_NB) == 0 {
                lines = try load().lines
                if !lines.isEmpty { return }
                flock(descriptor, LOCK_UN)
            }
            usleep(UInt32.random(in: 10_000...30_000))
        }
        throw CacheError(
            .io,
            path: path,
            "another process is writing this cache",
            remedy: "Wait for it, or stop it."
        )
    }

    /// Creates the journal of one worker's run.
    init(newIn directory: URL, worker: CacheWorker) throws {
        let name = "journal-\(worker.index)-\(ShardClaimOwner.newNonce()).jsonl"
        path = directory.appendingPathComponent(name).path
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(path, "create", code: errno) }
        try DurableFile.flush(directory: directory)
    }

    // Every stored property is set before anything throws, so this also runs after a failed init.
    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Lets other workers in.
    func share() {
        if isAlone { flock(descriptor, LOCK_SH | LOCK_NB) }
        isAlone = false
    }

    private func begin(_ first: Line) throws {
        let (found, whole, size) = try load()
        lines = found
        if whole < size, ftruncate(descriptor, off_t(whole)) != 0 {
            throw CacheError.system(path, "cut", code: errno)
        }
        if lines.isEmpty { try append(first) }
    }

    private func load() throws -> (lines: [Line], whole: Int, size: Int) {
        let size = try DurableFile.size(descriptor, path: path)
        var bytes = [UInt8](repeating: 0, count: size)
        try bytes.withUnsafeMutableBytes {
            try DurableFile.readAll(descriptor, path: path, offset: 0, into: $0)
        }
        let whole = (bytes.lastIndex(of: 0x0A) ?? -1) + 1
        return (try Self.parse(bytes[..<whole], path: path), whole, size)
    }

    static func parse(_ bytes: some Collection<UInt8>, path: String) throws -> [Line] {
        var result: [Line] = []
        for (i, text) in bytes.split(separator: 0x0A).enumerated() {
            guard let line = try? JSONDecoder().decode(Line.self, from: Data(text)),
                try canonicalJSON(line, lines: false).dropLast().elementsEqual(text)
            else {
                throw CacheError(
                    .corrupt,
                    path: path,
                    "line \(i + 1) is damaged",
                    remedy: "Delete this line: its shard will be made again."
                )
            }
            result.append(line)
        }
        return result
    }

    /// Appends a line and waits until it is on the disk; a line that fails is taken back.
    func append(_ line: Line) throws {
        let bytes = try canonicalJSON(line, lines: false)
        let before = try DurableFile.size(descriptor, path: path)
        do {
            try DurableFile.writeAll(bytes, to: descriptor, path: path)
            try DurableFile.flush(descriptor, path: path, needed: bytes.count)
        } catch {
            _ = ftruncate(descriptor, off_t(before))
            throw error
        }
        lines.append(line)
    }
}

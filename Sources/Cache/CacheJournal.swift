import Foundation

/// What a writer has finished, one line each; a line counts only when its newline is there.
///
/// The first line holds the description. The open file carries a lock: one writer at a time.
final class CacheJournal {
    static let fileName = "journal.jsonl"

    /// One line; exactly one of the parts is there.
    struct Line: Codable, Equatable {
        var description: CacheDescription?
        var shard: ShardEntry?
        var teacher: FileEntry?
    }

    let path: String
    private(set) var lines: [Line] = []
    private let descriptor: Int32

    /// Opens or creates the journal, locks it, and cuts off a line that a killed writer left.
    init(directory: URL) throws {
        path = directory.appendingPathComponent(Self.fileName).path
        let flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
        descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(path, "open", code: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw CacheError(
                .io,
                path: path,
                "another process is writing this cache",
                remedy: "Wait for it, or stop it."
            )
        }
        let size = try DurableFile.size(descriptor, path: path)
        var bytes = [UInt8](repeating: 0, count: size)
        try bytes.withUnsafeMutableBytes {
            try DurableFile.readAll(descriptor, path: path, offset: 0, into: $0)
        }
        let whole = (bytes.lastIndex(of: 0x0A) ?? -1) + 1
        lines = try Self.parse(bytes[..<whole], path: path)
        if whole < size {
            guard ftruncate(descriptor, off_t(whole)) == 0 else {
                throw CacheError.system(path, "cut", code: errno)
            }
        }
    }

    // Every stored property is set before anything throws, so this also runs after a failed init.
    deinit { if descriptor >= 0 { close(descriptor) } }

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

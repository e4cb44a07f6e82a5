import Foundation

/// Small files of a run directory, each whole or not there.
enum RunFiles {
    /// Writes under a temporary name, flushes to the disk and renames.
    ///
    /// - Throws: `DistillError.file`.
    static func write(_ data: Data, to url: URL) throws {
        let temporary = url.deletingLastPathComponent().appendingPathComponent(
            ".\(url.lastPathComponent).tmp"
        )
        do {
            try data.write(to: temporary)
            try flush(temporary)
        } catch let error as DistillError {
            throw error
        } catch {
            throw DistillError.file(path: url.path, reason: "cannot be written: \(error)")
        }
        guard rename(temporary.path, url.path) == 0 else {
            throw DistillError.file(path: url.path, reason: reason(errno))
        }
        try? flush(url.deletingLastPathComponent())
    }

    /// Waits until a file, or the names in a directory, are on the disk.
    static func flush(_ url: URL) throws {
        let descriptor = open(url.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw DistillError.file(path: url.path, reason: reason(errno))
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw DistillError.file(path: url.path, reason: reason(errno))
        }
    }

    /// JSON with sorted keys, for people and for comparison.
    static func json<T: Encodable>(_ value: T) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value) + Data("\n".utf8)
    }

    /// Makes a directory and those above it.
    static func makeDirectory(_ url: URL) throws {
        do {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        } catch {
            throw DistillError.file(path: url.path, reason: "cannot be made: \(error)")
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

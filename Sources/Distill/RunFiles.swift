import Foundation
import Models
import Tokenizers

/// Small files of a run directory, each whole or not there.
package enum RunFiles {
    /// Writes under a temporary name, flushes to the disk and renames.
    ///
    /// - Throws: `DistillError.file`.
    package static func write(_ data: Data, to url: URL) throws {
        let temporary = url.deletingLastPathComponent().appendingPathComponent(
            ".\(url.lastPathComponent).tmp"
        )
        do {
            let descriptor = open(
                temporary.path,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0o644
            )
            guard descriptor >= 0 else { throw unwritable(url.path, errno) }
            defer { close(descriptor) }
            try append(data, to: descriptor, path: url.path)
            guard fsync(descriptor) == 0 else { throw unwritable(url.path, errno) }
            guard rename(temporary.path, url.path) == 0 else { throw unwritable(url.path, errno) }
        } catch {
            unlink(temporary.path)
            throw error
        }
        try? flush(url.deletingLastPathComponent())
    }

    /// Writes all of `data` at the end of an open file.
    ///
    /// - Throws: `DistillError.file` naming `path`.
    static func append(_ data: Data, to descriptor: Int32, path: String) throws {
        var rest = data
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Foundation.write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw unwritable(path, count == 0 ? ENOSPC : errno) }
            rest = rest.dropFirst(count)
        }
    }

    /// The bytes of a plain file; nil where there is none, or a larger one.
    ///
    /// A pipe in its place is not waited for, and a link not followed: a stranger's run says nothing of files
    /// that lie elsewhere.
    package static func read(_ url: URL, limit: Int) -> Data? {
        let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size <= limit,
            let data = try? handle.read(upToCount: limit + 1) ?? Data(), data.count <= limit
        else { return nil }
        return data
    }

    /// Runs other modules' code that writes files, and reports a disk that refuses as this one does.
    ///
    /// - Throws: `DistillError.file`; what is not the disk's fault as it comes.
    static func writing(_ url: URL, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as ModelError where error.kind == .io || error.kind == .missing {
            throw DistillError.file(path: error.path, reason: "\(error.message); \(remedy)")
        } catch TokenizerError.unwritable(let path, let reason) {
            throw DistillError.file(path: path, reason: "\(reason); \(remedy)")
        }
    }

    /// The error for a file that cannot be written.
    static func unwritable(_ path: String, _ code: Int32) -> DistillError {
        .file(path: path, reason: "cannot be written: \(reason(code)); \(remedy)")
    }

    private static let remedy =
        "check free space and permissions, then run the same command again: what is finished is kept"

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
            throw DistillError.file(
                path: url.path,
                reason: "cannot be made: \(error.localizedDescription)"
            )
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

import Foundation

/// A file written under a temporary name and renamed once it is whole and on the disk.
///
/// Whoever opens the final name sees the old file or the new one, never a part; a file that is
/// mapped meanwhile stays intact. After any failure the temporary file is removed.
struct AtomicFile: ~Copyable {
    /// `write(2)`, or what a test puts in its place.
    typealias Write = (Int32, UnsafeRawPointer, Int) -> Int

    static let systemWrite: @Sendable (Int32, UnsafeRawPointer, Int) -> Int = {
        Foundation.write($0, $1, $2)
    }

    private let path: String
    private let temporaryPath: String
    private var descriptor: Int32
    private let write: Write

    /// Creates the temporary file beside `url`, with this process's number in its name: two that write the
    /// same file do not meet, and the last one stands.
    ///
    /// - Throws: `ModelError` `io`.
    init(_ url: URL, write: @escaping Write = systemWrite) throws {
        path = url.path
        temporaryPath = "\(url.path).\(getpid()).tmp"
        self.write = write
        descriptor = open(
            temporaryPath,
            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
            0o644
        )
        guard descriptor >= 0 else { throw Self.error(path, "cannot be created", errno) }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }

    /// Appends bytes; a short write is continued.
    ///
    /// - Throws: `ModelError` `io`, for a full disk too.
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard var start = bytes.baseAddress else { return }
        var left = bytes.count
        while left > 0 {
            let written = write(descriptor, start, left)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else {
                throw Self.error(path, "cannot be written", written < 0 ? errno : ENOSPC)
            }
            start += written
            left -= written
        }
    }

    /// Flushes, closes and renames; the file stands under its name afterwards.
    ///
    /// - Throws: `ModelError` `io`.
    consuming func commit() throws {
        guard fsync(descriptor) == 0 else { throw Self.error(path, "cannot be flushed", errno) }
        let closed = close(descriptor)
        let code = errno
        descriptor = -1
        guard closed == 0, rename(temporaryPath, path) == 0 else {
            let code = closed == 0 ? errno : code
            unlink(temporaryPath)
            throw Self.error(path, closed == 0 ? "cannot be renamed" : "cannot be closed", code)
        }
        // The rename itself must survive a power cut; not every file system allows it, so a failure
        // here is no failure of the file.
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let handle = open(directory, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { return }
        _ = fsync(handle)
        close(handle)
    }

    private static func error(_ path: String, _ what: String, _ code: Int32) -> ModelError {
        let remedy =
            switch code {
            case ENOSPC, EDQUOT: "Free some space, or write to another disk."
            case ENOENT: "Make the directory first."
            case EACCES, EPERM, EROFS: "Choose a directory that may be written."
            default: ""
            }
        return ModelError(.io, path: path, "\(what): \(reason(code))", remedy: remedy)
    }
}

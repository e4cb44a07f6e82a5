import Cache
import Foundation

/// A file without a name for numbers that do not fit in memory; the system takes its space back when
/// it is closed, however the process ends.
final class ScratchFile: Sendable {
    private let descriptor: Int32
    private let path: String
    private let size: Int

    /// Makes a file of `size` bytes in a directory and reserves its space.
    ///
    /// - Throws: `CacheError`: `diskFull` with the bytes needed, `missing` or `io`.
    init(directory: String, size: Int) throws {
        path = "\(directory)/.scratch-\(UUID().uuidString)"
        self.size = size
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.error(path, "create", errno, size) }
        // Without its name nothing is left behind, whatever happens from here on.
        guard unlink(path) == 0 else {
            let code = errno
            close(descriptor)
            throw Self.error(path, "unlink", code, size)
        }
        // Known before the work is done, not in its midst; what cannot reserve learns it on writing.
        let code = posix_fallocate(descriptor, 0, off_t(max(1, size)))
        guard code == 0 || code == EINVAL || code == EOPNOTSUPP else {
            close(descriptor)
            throw Self.error(path, "reserve", code, size)
        }
    }

    deinit { close(descriptor) }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// - Throws: `CacheError.io` when the system cannot read them all.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw Self.error(path, "read", count == 0 ? EIO : errno, size)
            }
            done += count
        }
    }

    /// Writes all of `buffer` from `offset` on.
    ///
    /// - Throws: `CacheError`: `diskFull`, or `io`.
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
            let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw Self.error(path, "write", count == 0 ? ENOSPC : errno, size)
            }
            done += count
        }
    }

    private static func error(_ path: String, _ call: String, _ code: Int32, _ size: Int)
        -> CacheError
    {
        let directory = (path as NSString).deletingLastPathComponent
        let isFull = [ENOSPC, EDQUOT, EFBIG].contains(code)
        return CacheError(
            isFull ? .diskFull : code == ENOENT ? .missing : .io,
            path: directory,
            "the scratch file of \(ByteCount.text(size)) (\(call): \(String(cString: strerror(code))))"
                + (isFull ? " does not fit; \(size) bytes are needed" : " failed"),
            remedy: isFull
                ? "Free some space, set extract.scratch to a directory with more, "
                    + "raise extract.memory or lower extract.block_tokens."
                : "Check the directory, or set extract.scratch to another."
        )
    }
}

import Foundation

extension DurableFile {
    /// Gives `source` a second name, or copies it where that is not possible (another disk, a file
    /// of somebody else).
    ///
    /// `verify` sees the new file, and the path to name in errors, before it gets its name.
    /// - Throws: `CacheError`; what had the name before is then untouched.
    static func link(
        _ source: URL,
        to url: URL,
        verify: (Int32, String) throws -> Void
    ) throws {
        let temporary = temporaryName(for: url).path
        // Also after a rename: that does nothing when both names are of one file already.
        defer { unlink(temporary) }
        if Foundation.link(source.path, temporary) != 0 {
            let code = errno
            guard [EXDEV, EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(code) else {
                throw CacheError.system(source.path, "link", code: code)
            }
            try copy(source, to: temporary)
        }
        let descriptor = open(temporary, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw CacheError.system(source.path, "open", code: errno) }
        defer { close(descriptor) }
        try verify(descriptor, source.path)
        try flush(descriptor, path: url.path, needed: 0)
        guard rename(temporary, url.path) == 0 else {
            throw CacheError.system(url.path, "rename", code: errno)
        }
        try flush(directory: url.deletingLastPathComponent())
    }

    private static func copy(_ source: URL, to path: String) throws {
        let from = open(source.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard from >= 0 else { throw CacheError.system(source.path, "open", code: errno) }
        defer { close(from) }
        let size = try self.size(from, path: source.path)
        let to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard to >= 0 else { throw CacheError.system(path, "create", code: errno, needed: size) }
        defer { close(to) }
        var position = 0
        while position < size {
            var part = [UInt8](repeating: 0, count: min(1 << 20, size - position))
            try part.withUnsafeMutableBytes {
                try readAll(from, path: source.path, offset: position, into: $0)
            }
            try writeAll(part, to: to, path: path)
            position += part.count
        }
    }
}

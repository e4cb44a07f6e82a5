import Foundation

/// Files that are either whole or not there: written under a temporary name, flushed to the disk,
/// checked, renamed, and the directory flushed.
enum DurableFile {
    /// Ending of temporary names; a leftover one is removed when a writer starts.
    static let temporarySuffix = ".tmp"

    /// Writes `bytes` to `url`.
    ///
    /// - Throws: As `make`.
    static func write(_ bytes: [UInt8], to url: URL) throws {
        try make(url) { descriptor in
            // Reserving first learns of a full disk before anything is written.
            if !bytes.isEmpty {
                try reserve(bytes.count, descriptor, path: url.path, needed: bytes.count)
            }
            try writeAll(bytes, to: descriptor, path: url.path)
            return bytes.count
        }
    }

    /// Makes the file `url` of what `fill` writes.
    ///
    /// - Parameters:
    ///   - fill: Writes the empty temporary file and returns its bytes.
    ///   - verify: Sees the flushed temporary file before it gets its name.
    /// - Throws: `CacheError.diskFull` with the number of bytes needed when there is no room; the
    ///   temporary file is then removed and what had the name before is untouched.
    static func make(
        _ url: URL,
        fill: (Int32) throws -> Int,
        verify: (Int32) throws -> Void = { _ in }
    ) throws {
        let directory = url.deletingLastPathComponent()
        let temporary = temporaryName(for: url)
        let path = url.path
        let flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW
        let descriptor = open(temporary.path, flags, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(path, "create", code: errno) }
        var isOpen = true
        do {
            let size = try fill(descriptor)
            try flush(descriptor, path: path, needed: size)
            try verify(descriptor)
            isOpen = false
            guard close(descriptor) == 0 else {
                throw CacheError.system(path, "close", code: errno, needed: size)
            }
            guard rename(temporary.path, path) == 0 else {
                throw CacheError.system(path, "rename", code: errno, needed: size)
            }
            try flush(directory: directory)
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary.path)
            throw error
        }
    }

    /// A name beside `url` that nobody else has: another worker may be writing the same file.
    static func temporaryName(for url: URL) -> URL {
        url.deletingLastPathComponent().appendingPathComponent(
            ".\(url.lastPathComponent).\(ShardClaimOwner.newNonce())\(temporarySuffix)"
        )
    }

    /// Takes room for the first `bytes` bytes of a file, where the file system can.
    ///
    /// - Parameter needed: The bytes to name in the error.
    /// - Throws: `CacheError.diskFull`.
    static func reserve(
        _ bytes: Int,
        _ descriptor: Int32,
        path: String,
        needed: Int
    ) throws {
        let code = posix_fallocate(descriptor, 0, off_t(bytes))
        guard code == 0 || code == EINVAL || code == EOPNOTSUPP else {
            throw CacheError.system(path, "reserve", code: code, needed: needed)
        }
    }

    /// Writes every byte, however many calls that takes.
    static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws {
        try bytes.withUnsafeBytes { raw in
            var rest = raw[...]
            while !rest.isEmpty {
                let chunk = UnsafeRawBufferPointer(rebasing: rest)
                let count = Foundation.write(descriptor, chunk.baseAddress, chunk.count)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else {
                    let code = count == 0 ? ENOSPC : errno
                    throw CacheError.system(path, "write", code: code, needed: rest.count)
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Waits until the file's bytes are on the disk.
    static func flush(_ descriptor: Int32, path: String, needed: Int) throws {
        guard fsync(descriptor) == 0 else {
            throw CacheError.system(path, "flush", code: errno, needed: needed)
        }
    }

    /// Waits until the directory's names are on the disk.
    static func flush(directory: URL) throws {
        let descriptor = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CacheError.system(directory.path, "open", code: errno)
        }
        defer { close(descriptor) }
        try flush(descriptor, path: directory.path, needed: 0)
    }

    /// Removes temporary files that a killed writer left in `directory`: those of the file `name`,
    /// or all.
    static func removeLeftovers(in directory: URL, of name: String = "") throws {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        for found in names where found.hasPrefix("." + name) && found.hasSuffix(temporarySuffix) {
            let path = directory.appendingPathComponent(found).path
            guard unlink(path) == 0 || errno == ENOENT else {
                throw CacheError.system(path, "remove", code: errno)
            }
        }
    }

    /// The whole of a small file, refused when it is a link or larger than `limit` bytes.
    static func read(_ url: URL, limit: Int = 64 << 20) throws -> [UInt8] {
        let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw CacheError.system(url.path, "open", code: errno) }
        defer { close(descriptor) }
        let size = try self.size(descriptor, path: url.path)
        guard size <= limit else {
            throw CacheError.corrupt(url.path, "\(size) bytes, more than the \(limit) allowed")
        }
        var bytes = [UInt8](repeating: 0, count: size)
        try bytes.withUnsafeMutableBytes {
            try readAll(descriptor, path: url.path, offset: 0, into: $0)
        }
        return bytes
    }

    /// Bytes in an open file.
    static func size(_ descriptor: Int32, path: String) throws -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw CacheError.system(path, "stat", code: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CacheError.corrupt(path, "not a regular file")
        }
        return Int(status.st_size)
    }

    /// Fills `buffer` from `offset` on.
    static func readAll(
        _ descriptor: Int32,
        path: String,
        offset: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let got = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw CacheError.system(path, "read", code: errno) }
            guard got > 0 else { throw CacheError.corrupt(path, "ends at byte \(offset + done)") }
            done += got
        }
    }
}

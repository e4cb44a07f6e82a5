import Foundation
import Synchronization

/// An open file that was compared with the manifest before anything else looked at it.
///
/// Of an HDF5 file that is all but the chunks of its arrays, which is all that the HDF5 library reads;
/// each chunk has a checksum, in what was compared, and that is compared whenever the chunk is read. So
/// a cache can be opened without reading it whole. `retort cache verify` compares every byte's SHA-256.
final class VerifiedFile: Sendable {
    let descriptor: Int32
    let path: String
    /// No other file that this process opened has it.
    let number = VerifiedFile.opened.add(1, ordering: .relaxed).newValue
    private static let opened = Atomic<Int>(0)
    /// Device, inode, size and times: a file that still has them was not replaced or rewritten.
    let identity: String

    /// Opens `url` (never through a link) and compares size and hash with `entry`.
    ///
    /// - Parameters:
    ///   - entry: nil skips the comparison; for tests and for files just written.
    ///   - known: The identity of the file when it was hashed before; it is then not hashed again.
    init(_ url: URL, entry: FileEntry?, known: String? = nil) throws {
        path = url.path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            identity = ""
            throw CacheError.system(path, "open", code: errno)
        }
        var status = stat()
        let result = fstat(descriptor, &status)
        identity = [
            Int(status.st_dev), Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec,
            status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
        ].map(String.init).joined(separator: " ")
        guard result == 0 else { throw CacheError.system(path, "stat", code: errno) }
        let size = try DurableFile.size(descriptor, path: path)
        guard let entry else { return }
        guard size == entry.bytes else {
            throw CacheError.corrupt(path, "\(size) bytes, not \(entry.bytes)")
        }
        if let known, known == identity { return }
        guard entry.structureSHA256.isEmpty else {
            let hash = try sha256(descriptor: descriptor, path: path, skipping: entry.dataRanges)
            guard hash == entry.structureSHA256 else {
                throw CacheError.corrupt(path, "HDF5's own structure is not the manifest's")
            }
            return
        }
        guard try sha256(descriptor: descriptor, path: path) == entry.sha256 else {
            throw CacheError.corrupt(path, "the SHA-256 is not the manifest's")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func list(limit: Int) throws -> FileListing {
        try HDF5Jail.list(descriptor: descriptor, path: path, limit: limit)
    }
}

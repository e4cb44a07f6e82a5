import Foundation

/// An open file whose content was compared with the manifest before anything else looked at it.
final class VerifiedFile: Sendable {
    let descriptor: Int32
    let path: String

    /// Opens `url` (never through a link) and compares size and SHA-256 with `entry`.
    ///
    /// - Parameter entry: nil skips the comparison; for tests and for files just written.
    init(_ url: URL, entry: FileEntry?) throws {
        path = url.path
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw CacheError.system(path, "open", code: errno) }
        let size = try DurableFile.size(descriptor, path: path)
        guard let entry else { return }
        guard size == entry.bytes else {
            throw CacheError.corrupt(path, "\(size) bytes, not \(entry.bytes)")
        }
        guard try sha256(descriptor: descriptor, path: path) == entry.sha256 else {
            throw CacheError.corrupt(path, "the SHA-256 is not the manifest's")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func list(limit: Int) throws -> FileListing {
        try HDF5Library.list(descriptor: descriptor, path: path, limit: limit)
    }
}

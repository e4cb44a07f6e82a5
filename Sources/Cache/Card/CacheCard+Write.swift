import Foundation

extension CacheCard {
    /// Replaces README.md in a finished cache, and its entry in manifest.json.
    ///
    /// README.md goes first, then the manifest, each whole or not at all. A kill between the two
    /// leaves a README.md that is not the one listed: the cache can be read as before, the verifier
    /// reports README.md, and doing this again mends it. Whoever writes the cache is kept out.
    ///
    /// - Returns: The manifest as it is now.
    /// - Throws: `CacheError`; `io` when another process is writing the cache.
    public static func write(_ words: Words, to directory: URL) throws -> CacheManifest {
        let lock = try CacheLock(directory)
        defer { lock.release() }
        var manifest = try CacheManifest.read(directory)
        let bytes = [UInt8](CacheCard(manifest, words).text.utf8)
        manifest.readme = FileEntry(plain: CacheLayout.readme, bytes)
        let readme = directory.appendingPathComponent(CacheLayout.readme)
        for file in [CacheLayout.readme, CacheManifest.fileName] {
            try DurableFile.removeLeftovers(in: directory, of: file + ".")
        }
        try DurableFile.write(bytes, to: readme)
        try DurableFile.write(
            try manifest.encoded(),
            to: directory.appendingPathComponent(CacheManifest.fileName)
        )
        return try CacheManifest.read(directory)
    }

    /// Writes a card's text to a file, whole or not at all; what is there is replaced.
    ///
    /// - Throws: `CacheError`.
    public static func save(_ text: String, to url: URL) throws {
        try DurableFile.write([UInt8](text.utf8), to: url)
    }

    /// README.md as it is in `directory`, if it is the listed one of a finished cache of the same
    /// content as `manifest`: a person's words outlive a second run of the same extraction.
    static func kept(in directory: URL, of manifest: CacheManifest) -> [UInt8]? {
        let url = directory.appendingPathComponent(CacheLayout.readme)
        guard let there = try? CacheManifest.read(directory),
            (try? there.contentSHA256()) == (try? manifest.contentSHA256()),
            let bytes = try? DurableFile.read(url),
            FileEntry(plain: CacheLayout.readme, bytes) == there.readme
        else { return nil }
        return bytes
    }
}

/// Keeps those out who write a cache, while its page and its manifest are replaced.
///
/// They hold a lock on the journal, shared or not; a cache without a journal has no writer, and a
/// file system without locks has none of this.
private struct CacheLock {
    private var descriptors: [Int32] = []

    init(_ directory: URL) throws {
        let journal = directory.appendingPathComponent(CacheJournal.fileName)
        for (url, flags) in [(directory, O_DIRECTORY), (journal, O_NOFOLLOW)] {
            let descriptor = open(url.path, O_RDONLY | O_CLOEXEC | flags)
            guard descriptor >= 0 else { continue }
            descriptors.append(descriptor)
            guard flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { continue }
            release()
            throw CacheError(
                .io,
                path: directory.path,
                "another process is writing this cache",
                remedy: "Wait for it, or stop it."
            )
        }
    }

    func release() {
        for descriptor in descriptors { close(descriptor) }
    }
}

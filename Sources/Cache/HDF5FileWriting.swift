import Foundation
import Synchronization

/// From packed arrays to a named, checked file of the cache.
enum HDF5FileWriting {
    /// Writes `arrays` as `directory/path`, reads the result back in full, and describes it.
    ///
    /// The file gets its name only after the flushed bytes were read again: the structure, which must
    /// be that of the arrays, then every chunk, whose checksum was made before it was written.
    static func write(
        _ arrays: [StoredArray],
        header: String,
        directory: URL,
        path: String
    ) throws -> FileEntry {
        let url = directory.appendingPathComponent(path)
        var entry = FileEntry(plain: path, [])
        try DurableFile.make(url) { descriptor in
            entry.bytes = try HDF5Library.write(
                arrays,
                header: header,
                descriptor: descriptor,
                path: url.path
            )
            return entry.bytes
        } verify: { descriptor in
            let listing = try HDF5Library.list(
                descriptor: descriptor,
                path: url.path,
                limit: Int.max
            )
            let isSame = arrays.allSatisfy {
                let found = listing.arrays[$0.name]
                return found?.rows == $0.rows && found?.columns == $0.columns
                    && found?.type == $0.type && found?.chunks.count == $0.chunkCount
            }
            guard listing.arrays.count == arrays.count, isSame, listing.header == header else {
                throw CacheError.corrupt(url.path, "an array is missing after writing")
            }
            for array in listing.arrays.values {
                entry.arrays[array.name] = ArrayBytes(
                    raw: array.rawBytes,
                    stored: array.storedBytes
                )
            }
            entry.sha256 = try hash(descriptor, url.path, whileChecking: listing)
            entry.dataRanges = listing.dataRanges
            entry.structureSHA256 = try sha256(
                descriptor: descriptor,
                path: url.path,
                skipping: entry.dataRanges
            )
        }
        return entry
    }

    /// SHA-256 of the file; the chunks are read back on the other threads meanwhile.
    private static func hash(
        _ descriptor: Int32,
        _ path: String,
        whileChecking listing: FileListing
    ) throws -> String {
        let readers = listing.arrays.values.map {
            ArrayReader(layout: $0, descriptor: descriptor, path: path)
        }
        let parts = readers.flatMap { reader in
            stride(from: 0, to: reader.layout.chunks.count, by: ArrayBuilder.batch).map {
                (reader, $0..<min($0 + ArrayBuilder.batch, reader.layout.chunks.count))
            }
        }
        let outcome = Mutex<(hash: String, error: (any Error)?)>(("", nil))
        // The hash is the longest piece of work, and the one that cannot be cut.
        DispatchQueue.concurrentPerform(iterations: 1 + parts.count) { index in
            do {
                if index == 0 {
                    let hash = try sha256(descriptor: descriptor, path: path)
                    outcome.withLock { $0.hash = hash }
                } else {
                    let (reader, chunks) = parts[index - 1]
                    for chunk in chunks { try reader.check(chunk: chunk) }
                }
            } catch {
                outcome.withLock { $0.error = $0.error ?? error }
            }
        }
        let (hash, error) = outcome.withLock { $0 }
        if let error { throw error }
        return hash
    }
}

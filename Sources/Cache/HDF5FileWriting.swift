import Foundation

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
                let reader = ArrayReader(layout: array, descriptor: descriptor, path: url.path)
                for chunk in array.chunks.indices { try reader.check(chunk: chunk) }
                entry.arrays[array.name] = ArrayBytes(
                    raw: array.rawBytes,
                    stored: array.storedBytes
                )
            }
            entry.sha256 = try sha256(descriptor: descriptor, path: url.path)
            entry.dataRanges = listing.dataRanges
            entry.structureSHA256 = try sha256(
                descriptor: descriptor,
                path: url.path,
                skipping: entry.dataRanges
            )
        }
        return entry
    }
}

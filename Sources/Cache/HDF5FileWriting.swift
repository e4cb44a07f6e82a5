import Foundation

/// From packed arrays to a named, checked file of the cache.
enum HDF5FileWriting {
    /// Writes `arrays` as `directory/path`, reads the result back in full, and describes it.
    ///
    /// The file gets its name only after the flushed bytes were read again: their SHA-256, then the
    /// structure, then every chunk's checksum and unpacking.
    static func write(
        _ arrays: [StoredArray],
        header: String,
        directory: URL,
        path: String
    ) throws -> FileEntry {
        let url = directory.appendingPathComponent(path)
        let image = try HDF5Library.image(of: arrays, header: header, path: url.path)
        let hash = sha256(of: image)
        var entry = FileEntry(
            path: path,
            bytes: image.count,
            sha256: hash,
            structureSHA256: "",
            dataRanges: [],
            arrays: [:]
        )
        try DurableFile.write(image, to: url) { descriptor in
            guard try sha256(descriptor: descriptor, path: url.path) == hash else {
                throw CacheError.corrupt(url.path, "the disk gives back other bytes than written")
            }
            let listing = try HDF5Library.list(
                descriptor: descriptor,
                path: url.path,
                limit: Int.max
            )
            guard listing.arrays.count == arrays.count else {
                throw CacheError.corrupt(url.path, "an array is missing after writing")
            }
            for array in listing.arrays.values {
                let reader = ArrayReader(layout: array, descriptor: descriptor, path: url.path)
                for chunk in array.chunks.indices { _ = try reader.chunk(chunk) }
                entry.arrays[array.name] = ArrayBytes(
                    raw: array.rawBytes,
                    stored: array.storedBytes
                )
            }
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

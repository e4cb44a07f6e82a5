import Foundation

/// What benchmarks measure apart from examples: arrays as they are stored, and each cost by itself.
extension ShardReader {
    /// An array as it lies in the file.
    package struct StoredArrayShape: Sendable {
        /// Rows.
        package var rows: Int
        /// Bytes of an unpacked row.
        package var rowBytes: Int
        /// Rows of a chunk.
        package var chunkRows: Int
        /// The element type.
        package var type: ElementType
        /// Bytes of the file that are chunks, one range for each.
        package var chunks: [ByteRange]
    }

    /// What there is of array `name`.
    package func stored(_ name: String) throws -> StoredArrayShape {
        let layout = try reader(name).layout
        return StoredArrayShape(
            rows: layout.rows,
            rowBytes: layout.rowBytes,
            chunkRows: layout.chunkRows,
            type: layout.type,
            chunks: layout.chunks.map { ByteRange(start: $0.offset, end: $0.offset + $0.size) }
        )
    }

    /// Rows of array `name` in their stored type, to a buffer with room for exactly them.
    package func readStored(
        _ name: String,
        rows: Range<Int>,
        into target: UnsafeMutableRawBufferPointer
    ) throws {
        try reader(name).read(rows: rows, into: target)
    }

    /// Rows of array `name` (bf16, f16 or f32) as f32, to a buffer with room for exactly them.
    package func readFloats(
        _ name: String,
        rows: Range<Int>,
        into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        try reader(name).readFloats(rows: rows, into: target)
    }

    /// Reads, checks and unpacks some chunks of array `name` and keeps nothing.
    package func check(_ name: String, chunks: Range<Int>) throws {
        let reader = try reader(name)
        for chunk in chunks { try reader.check(chunk: chunk) }
    }
}

extension CacheManifest {
    /// The text of `manifest.json`, with its checksum.
    package func text() throws -> [UInt8] { try encoded() }
}

/// A shard's way to the disk without what makes it safe.
package enum UnsafeArrayFile {
    /// Packs an array as `ShardWriter` does and writes it as an HDF5 file that is neither flushed nor read
    /// back.
    ///
    /// - Returns: Bytes of the file.
    package static func write(
        _ values: [UInt8],
        type: ElementType,
        columns: Int,
        compression: CacheCompression,
        to file: URL
    ) throws -> Int {
        var builder = ArrayBuilder(
            "values",
            type,
            columns: columns,
            candidates: ChunkCodec.candidates(compression, type)
        )
        // As records come: some rows at a time.
        let step = 64 * columns * type.size
        for start in stride(from: 0, to: values.count, by: step) {
            builder.append(Array(values[start..<min(start + step, values.count)]))
        }
        let descriptor = open(file.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw CacheError.system(file.path, "create", code: errno) }
        defer { close(descriptor) }
        return try HDF5Library.write(
            [builder.finish()],
            header: "{}",
            descriptor: descriptor,
            path: file.path
        )
    }
}

import Foundation

/// One chunk as it goes to disk.
struct StoredChunk {
    /// Packed bytes, or the raw ones when packing did not help.
    var bytes: [UInt8]
    /// HDF5's filter mask: 0 packed, the codec's `rawMask` raw.
    var mask: UInt32
    /// CRC-32C of `bytes`.
    var checksum: UInt32
}

/// One array ready to be written: (rows) or (rows, columns), cut into chunks of whole rows.
struct StoredArray {
    var name: String
    var type: ElementType
    var codec: ChunkCodec
    var rows: Int
    /// nil for a one-dimensional array.
    var columns: Int?
    var chunkRows: Int
    /// Columns of a chunk, where a row is cut into several; nil for whole rows.
    var chunkColumns: Int?
    /// Gives chunks: those of a builder, or made of rows as they are asked for, in order; within a
    /// row from left to right.
    var chunks: (Range<Int>) throws -> [StoredChunk]

    var chunkCount: Int {
        rows == 0 || columns == 0 ? 0 : (rows + chunkRows - 1) / chunkRows * chunksAcross
    }
    /// Chunks of one row.
    var chunksAcross: Int { Cache.chunksAcross(columns, chunkColumns) }

    /// An array whose rows are made only when they are written, some chunks at a time.
    ///
    /// - Parameters:
    ///   - candidates: The codec is the one of these that packs the first rows best.
    ///   - fill: Writes the rows of a range, in memory order, to its buffer; asked for the first rows once
    ///     more than for others.
    static func streamed(
        _ name: String,
        _ type: ElementType,
        columns: Int,
        rows: Int,
        candidates: [ChunkCodec],
        fill: @escaping (Range<Int>, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws -> StoredArray {
        let builder = ArrayBuilder(
            name,
            type,
            columns: columns,
            expectedRows: rows,
            candidates: candidates
        )
        let chunkRows = max(1, min(builder.chunkRows, rows))
        let rowBytes = columns * type.size
        func raw(_ chunks: Range<Int>) throws -> [UInt8] {
            let first = chunks.lowerBound * chunkRows
            let wanted = first..<min(chunks.upperBound * chunkRows, rows)
            // What lies past the array's end in the last chunk is zero.
            var raw = [UInt8](repeating: 0, count: chunks.count * chunkRows * rowBytes)
            try raw.withUnsafeMutableBytes {
                try fill(wanted, .init(rebasing: $0[..<(wanted.count * rowBytes)]))
            }
            return raw
        }
        let isEmpty = rows == 0 || columns == 0
        let codec =
            isEmpty || candidates.count == 1
            ? candidates[0]
            : try raw(0..<1).withUnsafeBytes { ChunkCodec.best(of: candidates, for: $0, type) }
        return StoredArray(
            name: name,
            type: type,
            codec: codec,
            rows: rows,
            columns: columns,
            chunkRows: chunkRows
        ) { chunks in
            try raw(chunks).withUnsafeBytes { packChunks($0, chunkRows * rowBytes, codec, type) }
        }
    }
}

extension ChunkCodec {
    /// The codec that packs `raw` best; of equals the first.
    static func best(
        of candidates: [ChunkCodec],
        for raw: UnsafeRawBufferPointer,
        _ type: ElementType
    ) -> ChunkCodec {
        guard candidates.count > 1 else { return candidates[0] }
        let sizes = candidates.map { ($0, $0.pack(raw, type: type)?.count ?? raw.count) }
        return sizes.min { $0.1 < $1.1 }?.0 ?? candidates[0]
    }
}

/// Packs whole chunks of `chunkBytes` on several threads.
func packChunks(
    _ source: UnsafeRawBufferPointer,
    _ chunkBytes: Int,
    _ codec: ChunkCodec,
    _ type: ElementType
) -> [StoredChunk] {
    let count = source.count / chunkBytes
    var made = [StoredChunk](
        repeating: StoredChunk(bytes: [], mask: 0, checksum: 0),
        count: count
    )
    made.withUnsafeMutableBufferPointer { out in
        nonisolated(unsafe) let source = source
        nonisolated(unsafe) let out = out
        DispatchQueue.concurrentPerform(iterations: count) { i in
            let raw = UnsafeRawBufferPointer(
                rebasing: source[i * chunkBytes..<(i + 1) * chunkBytes]
            )
            let packed = codec.pack(raw, type: type)
            let bytes = packed ?? Array(raw)
            out[i] = StoredChunk(
                bytes: bytes,
                mask: packed == nil ? codec.rawMask : 0,
                checksum: bytes.withUnsafeBytes { crc32c($0) }
            )
        }
    }
    return made
}

/// Chunks that it takes to cover a row.
func chunksAcross(_ columns: Int?, _ chunkColumns: Int?) -> Int {
    guard let columns, let chunkColumns else { return 1 }
    return (columns + chunkColumns - 1) / chunkColumns
}

/// Where one chunk lies in a file.
struct ChunkPlace: Sendable, Equatable {
    var offset: Int
    var size: Int
    var isRaw: Bool
    var checksum: UInt32

    /// Arrays of more chunks are refused: HDF5 1.10 takes ever longer to find them.
    static let mostOfAnArray = 16_384
}

/// An array found in a file: its shape, and its chunks in order.
struct ArrayLayout: Sendable {
    var name: String
    var type: ElementType
    var codec: ChunkCodec
    var rows: Int
    var columns: Int?
    var chunkRows: Int
    /// Columns of a chunk, where a row is cut into several; nil for whole rows.
    var chunkColumns: Int?
    var chunks: [ChunkPlace]

    var rowBytes: Int { (columns ?? 1) * type.size }
    /// Bytes of an unpacked chunk.
    var chunkBytes: Int { chunkRows * (chunkColumns.map { $0 * type.size } ?? rowBytes) }
    /// Chunks of one row.
    var chunksAcross: Int { Cache.chunksAcross(columns, chunkColumns) }
    var rawBytes: Int { rows * rowBytes }
    var storedBytes: Int { chunks.reduce(0) { $0 + $1.size } }
}

/// What a file of ours holds.
struct FileListing: Sendable {
    /// The JSON text in the root attribute.
    var header: String
    var arrays: [String: ArrayLayout]

    /// The bytes that hold chunks, neighbours merged.
    ///
    /// All others are HDF5's own structure.
    var dataRanges: [ByteRange] {
        let places = arrays.values.flatMap(\.chunks).sorted { $0.offset < $1.offset }
        var ranges: [ByteRange] = []
        for place in places {
            let end = place.offset + place.size
            if let last = ranges.last, last.end == place.offset {
                ranges[ranges.count - 1].end = end
            } else {
                ranges.append(ByteRange(start: place.offset, end: end))
            }
        }
        return ranges
    }
}

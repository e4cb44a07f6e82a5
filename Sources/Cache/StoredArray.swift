import Foundation

/// One chunk as it goes to disk.
struct StoredChunk {
    /// Packed bytes, or the raw ones when packing did not help.
    var bytes: [UInt8]
    /// HDF5's filter mask: 0 packed, 1 raw.
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
    var chunksAcross: Int { across(columns, chunkColumns) }

    /// An array whose rows are made only when they are written, some chunks at a time.
    ///
    /// - Parameter fill: Writes the rows of a range, in memory order, to its buffer.
    static func streamed(
        _ name: String,
        _ type: ElementType,
        columns: Int,
        rows: Int,
        fill: @escaping (Range<Int>, UnsafeMutableRawBufferPointer) throws -> Void
    ) -> StoredArray {
        let builder = ArrayBuilder(name, type, columns: columns, expectedRows: rows)
        let chunkRows = max(1, min(builder.chunkRows, rows))
        let rowBytes = columns * type.size
        return StoredArray(
            name: name,
            type: type,
            codec: builder.codec,
            rows: rows,
            columns: columns,
            chunkRows: chunkRows
        ) { chunks in
            let first = chunks.lowerBound * chunkRows
            let wanted = first..<min(chunks.upperBound * chunkRows, rows)
            // What lies past the array's end in the last chunk is zero.
            var raw = [UInt8](repeating: 0, count: chunks.count * chunkRows * rowBytes)
            try raw.withUnsafeMutableBytes {
                let part = UnsafeMutableRawBufferPointer(rebasing: $0[..<(wanted.count * rowBytes)])
                try fill(wanted, part)
            }
            return raw.withUnsafeBytes {
                packChunks($0, chunkRows * rowBytes, builder.codec, elementSize: type.size)
            }
        }
    }
}

/// Chunks that it takes to cover a row.
private func across(_ columns: Int?, _ chunkColumns: Int?) -> Int {
    guard let columns, let chunkColumns else { return 1 }
    return (columns + chunkColumns - 1) / chunkColumns
}

/// Packs whole chunks of `chunkBytes` on several threads.
private func packChunks(
    _ source: UnsafeRawBufferPointer,
    _ chunkBytes: Int,
    _ codec: ChunkCodec,
    elementSize: Int
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
            let packed = codec.pack(raw, elementSize: elementSize)
            let bytes = packed ?? Array(raw)
            out[i] = StoredChunk(
                bytes: bytes,
                mask: packed == nil ? 1 : 0,
                checksum: bytes.withUnsafeBytes { crc32c($0) }
            )
        }
    }
    return made
}

/// Collects the rows of one array and packs full chunks on several threads as they fill.
struct ArrayBuilder {
    let name: String
    let type: ElementType
    let codec: ChunkCodec
    let columns: Int?
    private(set) var rows = 0
    private(set) var chunkRows: Int
    private let chunkColumns: Int?
    private var pending: [UInt8] = []
    private var chunks: [StoredChunk] = []

    /// Raw bytes of one chunk, where a row fits: HDF5 and LZ4 were fastest at 72-300 KiB.
    static let chunkBytes = 256 << 10
    /// A longer row of an array that may be split is cut into several chunks.
    static let longestRow = 300 << 10
    /// Chunks packed in one go.
    static let batch = 16

    /// - Parameters:
    ///   - expectedRows: Rows that will come, where that is known.
    ///   - splitsRows: Whether a row beyond `longestRow` is cut into several chunks.
    init(
        _ name: String,
        _ type: ElementType,
        columns: Int? = nil,
        expectedRows: Int = 0,
        splitsRows: Bool = false
    ) {
        self.name = name
        self.type = type
        // Bit planes help numbers; text packs better as it is.
        self.codec = type == .u8 ? .lz4 : .bitshuffle
        self.columns = columns
        let rowBytes = max(1, (columns ?? 1) * type.size)
        // Finding chunks is quadratic in HDF5, so a very large array gets larger chunks.
        let atLeast = min(ChunkCodec.largestChunk, expectedRows * rowBytes / 1000)
        chunkRows = max(1, max(Self.chunkBytes, atLeast) / rowBytes)
        if splitsRows, let columns, rowBytes > Self.longestRow {
            let parts = (rowBytes + Self.longestRow - 1) / Self.longestRow
            // Whole groups of eight, which the bit shuffle works on.
            chunkColumns = ((columns + parts - 1) / parts + 7) / 8 * 8
        } else {
            chunkColumns = nil
        }
    }

    private var rowBytes: Int { (columns ?? 1) * type.size }
    /// Bytes of a row with what fills up its last chunk.
    private var paddedRowBytes: Int {
        chunkColumns.map { across(columns, $0) * $0 * type.size } ?? rowBytes
    }
    private var packedBytes: Int { chunkRows * (chunkColumns.map { $0 * type.size } ?? rowBytes) }

    /// Appends whole rows, given as the array's elements in memory order.
    mutating func append<T: BitwiseCopyable>(_ values: [T]) {
        guard rowBytes > 0 else { return }
        let filling = paddedRowBytes - rowBytes
        values.withUnsafeBytes { bytes in
            guard filling > 0 else {
                pending.append(contentsOf: bytes)
                return
            }
            for start in stride(from: 0, to: bytes.count, by: rowBytes) {
                pending.append(contentsOf: bytes[start..<min(start + rowBytes, bytes.count)])
                pending.append(contentsOf: repeatElement(0, count: filling))
            }
        }
        rows = (chunks.count * packedBytes + pending.count) / paddedRowBytes
        if pending.count >= Self.batch * packedBytes { pack() }
    }

    /// Everything packed, as an array for the file.
    mutating func finish() -> StoredArray {
        if rows > 0, chunks.isEmpty { chunkRows = min(chunkRows, rows) }
        if rows > 0 { pack(last: true) }
        let made = chunks
        return StoredArray(
            name: name,
            type: type,
            codec: codec,
            rows: rows,
            columns: columns,
            chunkRows: chunkRows,
            chunkColumns: chunkColumns
        ) { Array(made[$0]) }
    }

    private mutating func pack(last: Bool = false) {
        let chunkBytes = packedBytes
        let remainder = pending.count % chunkBytes
        if last && remainder > 0 {
            // HDF5 stores the last chunk whole; what lies past the array's end is zero.
            pending.append(contentsOf: repeatElement(0, count: chunkBytes - remainder))
        }
        let count = pending.count / chunkBytes
        let made = pending.withUnsafeBytes {
            packChunks(
                UnsafeRawBufferPointer(rebasing: $0[..<(count * chunkBytes)]),
                chunkBytes,
                codec,
                elementSize: type.size
            )
        }
        chunks.append(contentsOf: made)
        pending.removeFirst(count * chunkBytes)
    }
}

/// Where one chunk lies in a file.
struct ChunkPlace: Sendable {
    var offset: Int
    var size: Int
    var isRaw: Bool
    var checksum: UInt32
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
    var chunksAcross: Int { across(columns, chunkColumns) }
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

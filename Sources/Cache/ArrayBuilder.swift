/// Collects the rows of one array and packs full chunks on several threads as they fill.
struct ArrayBuilder {
    let name: String
    let type: ElementType
    let columns: Int?
    private(set) var rows = 0
    private(set) var chunkRows: Int
    private let chunkColumns: Int?
    private let candidates: [ChunkCodec]
    /// Known once the first chunks were packed.
    private var codec: ChunkCodec?
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
    ///   - chunkBytes: Raw bytes of one chunk.
    ///   - splitsRows: Whether a row beyond `longestRow` is cut into several chunks.
    ///   - candidates: The codec is the one of these that packs the first chunk best.
    init(
        _ name: String,
        _ type: ElementType,
        columns: Int? = nil,
        expectedRows: Int = 0,
        chunkBytes: Int = Self.chunkBytes,
        splitsRows: Bool = false,
        candidates: [ChunkCodec]
    ) {
        self.name = name
        self.type = type
        self.candidates = candidates
        self.columns = columns
        let rowBytes = max(1, (columns ?? 1) * type.size)
        // Finding chunks is quadratic in HDF5, so a very large array gets larger chunks.
        let atLeast = min(ChunkCodec.largestChunk, expectedRows * rowBytes / 1000)
        chunkRows = max(1, max(chunkBytes, atLeast) / rowBytes)
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
        chunkColumns.map { chunksAcross(columns, $0) * $0 * type.size } ?? rowBytes
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
            codec: codec ?? candidates[0],
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
        guard count > 0 else { return }
        let made = pending.withUnsafeBytes { bytes in
            let first = UnsafeRawBufferPointer(rebasing: bytes[..<chunkBytes])
            let codec = codec ?? ChunkCodec.best(of: candidates, for: first, type)
            self.codec = codec
            return packChunks(
                UnsafeRawBufferPointer(rebasing: bytes[..<(count * chunkBytes)]),
                chunkBytes,
                codec,
                type
            )
        }
        chunks.append(contentsOf: made)
        pending.removeFirst(count * chunkBytes)
    }
}

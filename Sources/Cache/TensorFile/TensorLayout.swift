/// The numbers that arrays of strangers may hold, as they lie on disk (little-endian).
enum TensorNumber: UInt8, CaseIterable, Sendable {
    case i8, u8, i16, u16, i32, u32, i64, u64, f16, f32, f64

    /// Bytes of one.
    var size: Int {
        switch self {
        case .i8, .u8: 1
        case .i16, .u16, .f16: 2
        case .i32, .u32, .f32: 4
        case .i64, .u64, .f64: 8
        }
    }

    var isFloat: Bool { self == .f16 || self == .f32 || self == .f64 }

    /// In NumPy's words.
    var name: String {
        switch self {
        case .i8, .i16, .i32, .i64: "int\(8 * size)"
        case .u8, .u16, .u32, .u64: "uint\(8 * size)"
        case .f16, .f32, .f64: "float\(8 * size)"
        }
    }
}

/// An array found in a file of any program, and where its values are.
struct TensorLayout: Sendable, Equatable {
    /// What an element is.
    enum Element: Sendable, Equatable {
        case number(TensorNumber)
        /// Text of at most so many bytes, zeros behind it.
        case text(bytes: Int)
        /// Text of any length; values are held: for each its length in four bytes, then itself.
        case texts
    }

    /// Where the values are.
    enum Storage: Sendable, Equatable {
        /// End to end in the file.
        case contiguous(offset: Int)
        /// Read with the structure, in which they lay.
        case held([UInt8])
        /// Cut into a grid of chunks, in its order; those of an array of one dimension have one column.
        case chunked(ChunkCodec?, rows: Int, columns: Int, [ChunkPlace])
    }

    var name: String
    var element: Element
    /// None, one or two extents.
    var shape: [Int]
    var storage: Storage

    /// Parts of a name: `grad/projectors/t2s/0/weight`.
    static let mostParts = 5
    /// More texts than any vocabulary has.
    static let mostTexts = 1 << 20
    /// Bytes of one text.
    static let longestText = 4096
    /// Bytes that the walk may hold of one file; less than a jailed process may answer with.
    static let mostHeldBytes = 32 << 20
    /// Elements of an array, so that no product of sizes is beyond an Int.
    static let mostElements = 1 << 48
    /// An array may unpack to so many times its bytes in the file, and to `freeUnpackedBytes` anyway: what
    /// a file can make us take is bounded by its size.
    static let mostUnpacking = 64
    static let freeUnpackedBytes = 16 << 20

    var rows: Int { shape.first ?? 1 }
    var columns: Int { shape.count == 2 ? shape[1] : 1 }
    var count: Int { rows * columns }
    /// Bytes of an element on the disk; 0 for texts of any length.
    var elementSize: Int {
        switch element {
        case .number(let number): number.size
        case .text(let bytes): bytes
        case .texts: 0
        }
    }
    var bytes: Int { count * elementSize }
    private var isText: Bool { if case .number = element { false } else { true } }

    /// Letters, digits, `_`, `-` and `.`, the last not in front.
    static func isPlain(_ name: ArraySlice<UInt8>) -> Bool {
        name.first != UInt8(ascii: ".")
            && name.allSatisfy {
                (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0)
                    || (0x2D...0x39).contains($0)
                        && $0 != UInt8(ascii: "/")
                    || $0 == UInt8(ascii: "_")
            }
    }

    /// What does not hold of an array of a file of `fileBytes` bytes, whoever says it is there; nil where
    /// reading it stays within the file and within the memory that its size allows.
    func fault(fileBytes: Int) -> String? {
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard (1...Self.mostParts).contains(parts.count),
            parts.allSatisfy({ (1...64).contains($0.count) && Self.isPlain(Array($0)[...]) })
        else { return "an odd name" }
        var elements = 1
        for extent in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: max(1, extent))
            guard extent >= 0, !overflow, product <= Self.mostElements else { return "the extent" }
            elements = product
        }
        guard shape.count <= 2, elementSize <= Self.longestText else { return "the shape or type" }
        guard !isText || count <= Self.mostTexts && bytes <= Self.mostHeldBytes else {
            return "so much text"
        }
        switch storage {
        case .contiguous(let offset):
            guard element != .texts, offset >= 0, bytes <= fileBytes, offset <= fileBytes - bytes
            else { return "the place" }
        case .held(let values):
            guard values.count <= Self.mostHeldBytes else { return "the length" }
            if element == .texts {
                let isWhole = Self.texts(in: values, count) != nil
                return isWhole ? nil : "a text of more than \(Self.longestText) bytes, or torn,"
            }
            guard values.count == bytes else { return "the length" }
        case .chunked(let codec, let chunkRows, let chunkColumns, let places):
            return fault(codec, chunkRows, chunkColumns, places, fileBytes)
        }
        return nil
    }

    private func fault(
        _ codec: ChunkCodec?,
        _ chunkRows: Int,
        _ chunkColumns: Int,
        _ places: [ChunkPlace],
        _ fileBytes: Int
    ) -> String? {
        guard element != .texts, count > 0, chunkRows > 0, chunkColumns > 0,
            chunkRows <= ChunkCodec.largestChunk / elementSize,
            chunkColumns <= ChunkCodec.largestChunk / elementSize / chunkRows
        else { return "the chunk shape" }
        let down = (rows - 1) / chunkRows + 1
        let across = (columns - 1) / chunkColumns + 1
        guard down <= ChunkPlace.mostOfAnArray, across <= ChunkPlace.mostOfAnArray / down,
            places.count == down * across
        else { return "the number of chunks" }
        let raw = chunkRows * chunkColumns * elementSize
        for place in places {
            guard place.size > 0, place.size <= Self.mostPacked(raw), place.offset >= 0,
                place.size <= fileBytes, place.offset <= fileBytes - place.size,
                place.isRaw ? place.size == raw : codec != nil
            else { return "the place of a chunk" }
        }
        let order = places.sorted { $0.offset < $1.offset }
        guard zip(order, order.dropFirst()).allSatisfy({ $0.offset + $0.size <= $1.offset }) else {
            return "chunks that share bytes"
        }
        let stored = places.reduce(0) { $0 + $1.size }
        guard raw * places.count <= Self.freeUnpackedBytes + Self.mostUnpacking * stored else {
            return "more than \(Self.mostUnpacking) times the bytes it has in the file"
        }
        return nil
    }

    /// Bytes that a chunk of `raw` bytes may have when packing made it larger.
    static func mostPacked(_ raw: Int) -> Int { raw + raw / 64 + 1024 }

    /// Where each of `count` texts lies in `values`; nil where they are not as they must be.
    static func texts(in values: [UInt8], _ count: Int) -> [Range<Int>]? {
        guard count <= mostTexts, count <= values.count / 4 else { return count == 0 ? [] : nil }
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(count)
        var source = WireSource(bytes: values[...])
        for _ in 0..<count {
            guard let text = source.block(most: Self.longestText) else { return nil }
            ranges.append(text.startIndex..<text.endIndex)
        }
        return source.bytes.isEmpty ? ranges : nil
    }
}

/// What a file of any program holds, by name.
typealias TensorListing = [String: TensorLayout]

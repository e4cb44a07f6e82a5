/// What a cache is packed for.
public enum CacheCompression: String, Codable, Sendable, CaseIterable {
    /// LZ4, after the shuffle that packs an array best: fast to read.
    case lz4
    /// Deflate after a byte shuffle: about a fifth smaller, and any HDF5 reads it without plug-ins, at
    /// about a fifth of the speed.
    case deflate
}

/// How a chunk is packed: pipelines of registered HDF5 filters in those filters' own formats, so that
/// others can read them.
enum ChunkCodec: CaseIterable, Sendable {
    /// Filter 32004.
    case lz4
    /// Filters 2 and 32004.
    case shuffledLZ4
    /// Filter 32008, which holds a bit shuffle and LZ4.
    case bitshuffle
    /// Filter 1.
    case deflate
    /// Filters 2 and 1.
    case shuffledDeflate

    /// A filter of the pipeline as the file names it.
    struct Filter: Equatable {
        var id: Int32
        var parameters: [UInt32]

        static let deflateID: Int32 = 1
        static let shuffleID: Int32 = 2
        static let lz4ID: Int32 = 32004
        static let bitshuffleID: Int32 = 32008
    }

    /// Larger chunks are refused when read: a small file must not inflate without bounds.
    static let largestChunk = 64 << 20

    /// The pipeline in the order of packing.
    func filters(elementSize: Int) -> [Filter] {
        let shuffle = Filter(id: Filter.shuffleID, parameters: [UInt32(elementSize)])
        let lz4 = Filter(id: Filter.lz4ID, parameters: [])
        let deflate = Filter(id: Filter.deflateID, parameters: [6])
        return switch self {
        case .lz4: [lz4]
        case .shuffledLZ4: [shuffle, lz4]
        case .bitshuffle:
            [Filter(id: Filter.bitshuffleID, parameters: [0, 4, UInt32(elementSize), 0, 2])]
        case .deflate: [deflate]
        case .shuffledDeflate: [shuffle, deflate]
        }
    }

    /// HDF5's filter mask of a chunk that is stored as it is: every filter was skipped.
    var rawMask: UInt32 {
        switch self {
        case .lz4, .bitshuffle, .deflate: 0b1
        case .shuffledLZ4, .shuffledDeflate: 0b11
        }
    }

    /// The codec that a file's pipeline is; nil for any other pipeline.
    static func named(by filters: [Filter], elementSize: Int) -> ChunkCodec? {
        allCases.first { codec in
            let own = codec.filters(elementSize: elementSize)
            return own.map(\.id) == filters.map(\.id)
                && zip(own, filters).allSatisfy { own, found in
                    switch own.id {
                    // The third says what an element is; block sizes stand in each chunk.
                    case Filter.bitshuffleID:
                        found.parameters.count >= 3 && found.parameters[2] == own.parameters[2]
                    case Filter.shuffleID: found.parameters == own.parameters
                    default: true
                    }
                }
        }
    }

    /// The codecs from which an array takes the one that packs it best.
    static func candidates(_ compression: CacheCompression, _ type: ElementType) -> [ChunkCodec] {
        switch (compression, type.size) {
        case (.lz4, 1): [.lz4, .bitshuffle]
        case (.lz4, _): [.bitshuffle, .shuffledLZ4]
        case (.deflate, 1): [.deflate]
        case (.deflate, _): [.shuffledDeflate]
        }
    }

    /// What format versions 1 and 2 used.
    static func original(_ type: ElementType) -> ChunkCodec { type == .u8 ? .lz4 : .bitshuffle }

    /// Packs one chunk; nil when packing does not make it smaller.
    func pack(_ raw: UnsafeRawBufferPointer, type: ElementType) -> [UInt8]? {
        guard raw.count > 0 else { return nil }
        let packed: [UInt8]? =
            switch self {
            case .lz4: LZ4Frame.pack(raw)
            case .bitshuffle: LZ4Frame.pack(bitShuffling: raw, elementSize: type.size)
            case .deflate: Deflate.pack(raw, finds: type == .u8 ? .repeats : .runs)
            case .shuffledLZ4:
                ByteShuffle.shuffled(raw, elementSize: type.size) { LZ4Frame.pack($0) }
            case .shuffledDeflate:
                ByteShuffle.shuffled(raw, elementSize: type.size) { Deflate.pack($0, finds: .runs) }
            }
        return packed.flatMap { $0.count < raw.count ? $0 : nil }
    }

    /// Unpacks one chunk into `raw`, which has exactly the chunk's size.
    ///
    /// Every size that the packed bytes state is checked; LZ4 and zlib are called with bounds on both
    /// sides.
    /// - Parameters:
    ///   - scratch: Room for `raw.count` bytes.
    ///   - verifies: Compares the checksum of the packed format, if that has one.
    /// - Returns: False when `packed` does not unpack to exactly that size.
    func unpack(
        _ packed: UnsafeRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer,
        elementSize: Int,
        scratch: UnsafeMutableRawBufferPointer,
        verifies: Bool = false
    ) -> Bool {
        precondition(scratch.count >= raw.count, "scratch of \(scratch.count) for \(raw.count)")
        let part = UnsafeMutableRawBufferPointer(rebasing: scratch[..<raw.count])
        switch self {
        case .lz4: return LZ4Frame.unpack(packed, into: raw)
        case .bitshuffle:
            return LZ4Frame.unpack(packed, bitUnshufflingInto: raw, elementSize: elementSize)
        case .deflate: return Deflate.unpack(packed, into: raw, verifies: verifies)
        case .shuffledLZ4, .shuffledDeflate:
            let isWhole =
                self == .shuffledLZ4
                ? LZ4Frame.unpack(packed, into: part)
                : Deflate.unpack(packed, into: part, verifies: verifies)
            if isWhole { ByteShuffle.unshuffle(part, into: raw, elementSize: elementSize) }
            return isWhole
        }
    }
}

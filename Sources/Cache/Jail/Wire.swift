/// Values as bytes, little-endian, one after another.
struct WireSink {
    private(set) var bytes: [UInt8] = []

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(bytes more: [UInt8]) {
        put(UInt32(more.count))
        bytes += more
    }

    mutating func put(text: String) { put(bytes: Array(text.utf8)) }

    mutating func put(_ codec: ChunkCodec) {
        put(UInt8(ChunkCodec.allCases.firstIndex(of: codec) ?? 255))
    }

    mutating func put(_ chunks: [ChunkPlace]) {
        put(UInt32(chunks.count))
        for chunk in chunks {
            put(Int64(chunk.offset))
            put(UInt32(chunk.size))
            put(UInt8(chunk.isRaw ? 1 : 0))
            put(chunk.checksum)
        }
    }
}

/// Reads whole values from the front of bytes; nil where there are not enough.
struct WireSource {
    var bytes: ArraySlice<UInt8>

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= bytes.count else { return nil }
        defer { bytes = bytes.dropFirst(count) }
        return bytes.prefix(count)
    }

    mutating func take<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T? {
        take(MemoryLayout<T>.size)?.reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }

    mutating func block(most: Int) -> ArraySlice<UInt8>? {
        guard let count = take(UInt32.self), count <= most else { return nil }
        return take(Int(count))
    }

    mutating func text(most: Int) -> String? {
        block(most: most).flatMap { String(validating: $0, as: UTF8.self) }
    }

    mutating func codec() -> ChunkCodec? {
        guard let number = take(UInt8.self), number < ChunkCodec.allCases.count else { return nil }
        return ChunkCodec.allCases[Int(number)]
    }

    /// Places of `count` chunks, their number taken already; nil where one does not lie in the file.
    mutating func chunks(_ count: Int, fileBytes: Int) -> [ChunkPlace]? {
        var chunks: [ChunkPlace] = []
        chunks.reserveCapacity(count)
        for _ in 0..<count {
            guard let offset = take(Int64.self), let size = take(UInt32.self),
                let raw = take(UInt8.self), raw <= 1, let checksum = take(UInt32.self),
                size > 0, offset >= 0, Int(size) <= fileBytes,
                Int(offset) <= fileBytes - Int(size)
            else { return nil }
            chunks.append(
                ChunkPlace(
                    offset: Int(offset),
                    size: Int(size),
                    isRaw: raw == 1,
                    checksum: checksum
                )
            )
        }
        return chunks
    }
}

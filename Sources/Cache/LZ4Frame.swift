import CKernels
import CLZ4

/// The frame of filters 32004 and 32008: size u64 BE, block size u32 BE, then per block its packed size
/// u32 BE and an LZ4 block.
///
/// In filter 32008 the blocks hold bit planes, and elements left over after the last multiple of eight
/// stand raw at the end. In filter 32004 a block that is as long packed as unpacked is stored raw.
enum LZ4Frame {
    /// Blocks of the bit shuffle: small enough to stay in the first-level cache.
    static let shuffleBlock = 8192
    /// Blocks of plain LZ4.
    private static let plainBlock = 1 << 18
    private static let headerBytes = 12

    static func pack(_ raw: UnsafeRawBufferPointer) -> [UInt8]? {
        pack(raw, block: min(raw.count, plainBlock), elementSize: nil)
    }

    static func pack(bitShuffling raw: UnsafeRawBufferPointer, elementSize: Int) -> [UInt8]? {
        pack(raw, block: shuffleBlock, elementSize: elementSize)
    }

    static func unpack(
        _ packed: UnsafeRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer
    ) -> Bool { unpack(packed, into: raw, elementSize: nil) }

    static func unpack(
        _ packed: UnsafeRawBufferPointer,
        bitUnshufflingInto raw: UnsafeMutableRawBufferPointer,
        elementSize: Int
    ) -> Bool { unpack(packed, into: raw, elementSize: elementSize) }

    /// - Parameter elementSize: nil for plain LZ4.
    private static func pack(
        _ raw: UnsafeRawBufferPointer,
        block: Int,
        elementSize: Int?
    ) -> [UInt8]? {
        guard block > 0, let source = raw.baseAddress else { return nil }
        let whole = wholeBytes(raw.count, elementSize)
        let blocks = (whole + block - 1) / block
        let bound = Int(LZ4_compressBound(Int32(block)))
        let capacity = headerBytes + blocks * (4 + bound) + (raw.count - whole)
        let planes = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * block)
        defer { planes.deallocate() }
        return [UInt8](unsafeUninitializedCapacity: capacity) { out, count in
            guard let base = out.baseAddress else { return }
            store(UInt64(raw.count), at: base)
            store(UInt32(block), at: base + 8)
            var position = headerBytes
            var start = 0
            while start < whole {
                let bytes = min(block, whole - start)
                let x = source.advanced(by: start).assumingMemoryBound(to: UInt8.self)
                var input = UnsafePointer(x)
                if let elementSize {
                    ck_bit_shuffle(x, planes, planes + block, bytes / elementSize, elementSize)
                    input = UnsafePointer(planes)
                }
                var size = input.withMemoryRebound(to: CChar.self, capacity: bytes) { from in
                    (base + position + 4).withMemoryRebound(to: CChar.self, capacity: bound) {
                        Int(LZ4_compress_default(from, $0, Int32(bytes), Int32(bound)))
                    }
                }
                if elementSize == nil && (size <= 0 || size >= bytes) {
                    size = bytes
                    (base + position + 4).update(from: x, count: bytes)
                }
                store(UInt32(size), at: base + position)
                position += 4 + size
                start += bytes
            }
            let rest = source.advanced(by: whole).assumingMemoryBound(to: UInt8.self)
            (base + position).update(from: rest, count: raw.count - whole)
            count = position + raw.count - whole
        }
    }

    private static func unpack(
        _ packed: UnsafeRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer,
        elementSize: Int?
    ) -> Bool {
        guard packed.count >= headerBytes, let source = packed.baseAddress,
            let target = raw.baseAddress, load64(source) == UInt64(raw.count)
        else { return false }
        let block = Int(load32(source + 8))
        let whole = wholeBytes(raw.count, elementSize)
        guard block > 0, block <= ChunkCodec.largestChunk,
            elementSize.map({ block % (8 * $0) == 0 }) ?? true
        else { return false }
        let unit = min(block, max(whole, 1))
        let planes = UnsafeMutablePointer<UInt8>.allocate(
            capacity: elementSize == nil ? 1 : 2 * unit
        )
        defer { planes.deallocate() }
        var position = headerBytes
        var start = 0
        while start < whole {
            let bytes = min(block, whole - start)
            guard packed.count - position >= 4 else { return false }
            let size = Int(load32(source + position))
            position += 4
            guard size > 0, size <= packed.count - position, size <= Int(Int32.max) else {
                return false
            }
            let from = source.advanced(by: position).assumingMemoryBound(to: UInt8.self)
            let out = target.advanced(by: start).assumingMemoryBound(to: UInt8.self)
            if elementSize == nil && size == bytes {
                out.update(from: from, count: bytes)
            } else {
                let destination = elementSize == nil ? out : planes
                let made = from.withMemoryRebound(to: CChar.self, capacity: size) { x in
                    destination.withMemoryRebound(to: CChar.self, capacity: bytes) {
                        LZ4_decompress_safe(x, $0, Int32(size), Int32(bytes))
                    }
                }
                guard Int(made) == bytes else { return false }
                if let elementSize {
                    ck_bit_unshuffle(planes, out, planes + unit, bytes / elementSize, elementSize)
                }
            }
            position += size
            start += bytes
        }
        guard packed.count - position == raw.count - whole else { return false }
        (target + whole).copyMemory(from: source + position, byteCount: raw.count - whole)
        return true
    }

    /// Bytes in whole groups of eight elements (bit shuffle); all of them for plain LZ4.
    private static func wholeBytes(_ count: Int, _ elementSize: Int?) -> Int {
        elementSize.map { count / (8 * $0) * (8 * $0) } ?? count
    }

    private static func store<T: FixedWidthInteger>(
        _ value: T,
        at pointer: UnsafeMutablePointer<UInt8>
    ) {
        UnsafeMutableRawPointer(pointer).storeBytes(of: value.bigEndian, as: T.self)
    }

    private static func load32(_ pointer: UnsafeRawPointer) -> UInt32 {
        UInt32(bigEndian: pointer.loadUnaligned(as: UInt32.self))
    }

    private static func load64(_ pointer: UnsafeRawPointer) -> UInt64 {
        UInt64(bigEndian: pointer.loadUnaligned(as: UInt64.self))
    }
}

import CKernels
import CLZ4
import Foundation

/// The element types that the format knows, as they lie on disk (little-endian).
public enum ElementType: String, CaseIterable, Codable, Sendable {
    case u8
    case i8
    case u16
    case u32
    case u64
    case bf16
    case f16
    case f32

    /// Bytes of one element.
    public var size: Int {
        switch self {
        case .u8, .i8: 1
        case .u16, .bf16, .f16: 2
        case .u32, .f32: 4
        case .u64: 8
        }
    }
}

/// How a chunk is packed: the registered HDF5 filters' own formats, so that others can read them.
enum ChunkCodec: Int32, CaseIterable {
    /// Filter 32004: size u64 BE, block size u32 BE, then per block: packed size u32 BE, LZ4 block.
    case lz4 = 32004
    /// Filter 32008: the same frame around bit-shuffled blocks of 8,192 bytes; elements left over
    /// after the last multiple of eight stand raw at the end.
    case bitshuffle = 32008

    /// Blocks of the bit shuffle: small enough to stay in the first-level cache.
    static let shuffleBlock = 8192
    /// Larger chunks are refused when read: a small file must not inflate without bounds.
    static let largestChunk = 64 << 20

    /// The filter's parameters in the file.
    func parameters(elementSize: Int) -> [UInt32] {
        switch self {
        case .lz4: []
        case .bitshuffle: [0, 4, UInt32(elementSize), 0, 2]
        }
    }

    /// Packs one chunk; nil when packing does not make it smaller.
    func pack(_ raw: UnsafeRawBufferPointer, elementSize: Int) -> [UInt8]? {
        let block = blockBytes(rawCount: raw.count, elementSize: elementSize)
        guard raw.count > 0, block > 0, let source = raw.baseAddress else { return nil }
        let whole = wholeBytes(rawCount: raw.count, elementSize: elementSize)
        let blocks = (whole + block - 1) / block
        let bound = Int(LZ4_compressBound(Int32(block)))
        let capacity = 12 + blocks * (4 + bound) + (raw.count - whole)
        let planes = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * block)
        defer { planes.deallocate() }
        let packed = [UInt8](unsafeUninitializedCapacity: capacity) { out, count in
            guard let base = out.baseAddress else { return }
            store(UInt64(raw.count), at: base)
            store(UInt32(block), at: base + 8)
            var position = 12
            var start = 0
            while start < whole {
                let bytes = min(block, whole - start)
                let x = source.advanced(by: start).assumingMemoryBound(to: UInt8.self)
                var input = UnsafePointer(x)
                if self == .bitshuffle {
                    ck_bit_shuffle(x, planes, planes + block, bytes / elementSize, elementSize)
                    input = UnsafePointer(planes)
                }
                var size = input.withMemoryRebound(to: CChar.self, capacity: bytes) { from in
                    (base + position + 4).withMemoryRebound(to: CChar.self, capacity: bound) {
                        Int(LZ4_compress_default(from, $0, Int32(bytes), Int32(bound)))
                    }
                }
                if self == .lz4 && (size <= 0 || size >= bytes) {
                    size = bytes  // equal sizes mean "stored raw" in filter 32004
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
        return packed.count < raw.count ? packed : nil
    }

    /// Unpacks one chunk into `raw`, which has exactly the chunk's size.
    ///
    /// Every size that the frame states is checked; LZ4 is called with bounds on both sides.
    /// - Returns: False when `packed` is not a frame of that size.
    func unpack(
        _ packed: UnsafeRawBufferPointer,
        into raw: UnsafeMutableRawBufferPointer,
        elementSize: Int
    ) -> Bool {
        guard packed.count >= 12, let source = packed.baseAddress, let target = raw.baseAddress,
            load64(source) == UInt64(raw.count)
        else { return false }
        let block = Int(load32(source + 8))
        let whole = wholeBytes(rawCount: raw.count, elementSize: elementSize)
        guard block > 0, block <= Self.largestChunk,
            self == .lz4 || block % (8 * elementSize) == 0
        else { return false }
        let unit = min(block, max(whole, 1))
        let planes = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * unit)
        defer { planes.deallocate() }
        var position = 12
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
            if self == .lz4 && size == bytes {
                out.update(from: from, count: bytes)
            } else {
                let destination = self == .bitshuffle ? planes : out
                let made = from.withMemoryRebound(to: CChar.self, capacity: size) { x in
                    destination.withMemoryRebound(to: CChar.self, capacity: bytes) {
                        LZ4_decompress_safe(x, $0, Int32(size), Int32(bytes))
                    }
                }
                guard Int(made) == bytes else { return false }
                if self == .bitshuffle {
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
    private func wholeBytes(rawCount: Int, elementSize: Int) -> Int {
        self == .lz4 ? rawCount : rawCount / (8 * elementSize) * (8 * elementSize)
    }

    private func blockBytes(rawCount: Int, elementSize: Int) -> Int {
        self == .lz4 ? min(rawCount, 1 << 18) : Self.shuffleBlock
    }
}

private func store<T: FixedWidthInteger>(_ value: T, at pointer: UnsafeMutablePointer<UInt8>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: value.bigEndian, as: T.self)
}

private func load32(_ pointer: UnsafeRawPointer) -> UInt32 {
    UInt32(bigEndian: pointer.loadUnaligned(as: UInt32.self))
}

private func load64(_ pointer: UnsafeRawPointer) -> UInt64 {
    UInt64(bigEndian: pointer.loadUnaligned(as: UInt64.self))
}

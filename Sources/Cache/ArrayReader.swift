import CKernels
import Foundation

/// Rows of one array, read chunk by chunk without HDF5; the last few chunks are kept.
///
/// Not safe for several threads at once: its owner locks.
final class ArrayReader {
    let layout: ArrayLayout
    private let descriptor: Int32
    private let path: String
    private let keep: Int
    /// Unpacked chunks, the least recently used first.
    private var recent: [(index: Int, bytes: [UInt8])] = []

    init(layout: ArrayLayout, descriptor: Int32, path: String, keep: Int = 0) {
        self.layout = layout
        self.descriptor = descriptor
        self.path = path
        self.keep = keep
    }

    /// The unpacked bytes of chunk `index`; its checksum is compared on every read from the disk.
    func chunk(_ index: Int) throws -> [UInt8] {
        if let position = recent.firstIndex(where: { $0.index == index }) {
            let entry = recent.remove(at: position)
            recent.append(entry)
            return entry.bytes
        }
        let place = layout.chunks[index]
        let size = layout.chunkBytes
        let stored = try [UInt8](unsafeUninitializedCapacity: place.size) { buffer, count in
            try DurableFile.readAll(
                descriptor,
                path: path,
                offset: place.offset,
                into: UnsafeMutableRawBufferPointer(buffer)
            )
            count = place.size
        }
        guard stored.withUnsafeBytes({ crc32c($0) }) == place.checksum else {
            throw CacheError.corrupt(path, "chunk \(index) of '\(layout.name)' is damaged")
        }
        var bytes = stored
        if !place.isRaw {
            bytes = try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                let isWhole = stored.withUnsafeBytes {
                    layout.codec.unpack(
                        $0,
                        into: UnsafeMutableRawBufferPointer(
                            rebasing: UnsafeMutableRawBufferPointer(buffer)[..<size]
                        ),
                        elementSize: layout.type.size
                    )
                }
                guard isWhole else {
                    throw CacheError.corrupt(
                        path,
                        "chunk \(index) of '\(layout.name)' does not unpack"
                    )
                }
                count = size
            }
        }
        if keep > 0 {
            if recent.count >= keep { recent.removeFirst() }
            recent.append((index, bytes))
        }
        return bytes
    }

    /// The bytes of rows `range`.
    func bytes(rows range: Range<Int>) throws -> [UInt8] {
        guard range.lowerBound >= 0, range.upperBound <= layout.rows else {
            throw CacheError.corrupt(
                path,
                "rows \(range) of '\(layout.name)', which has \(layout.rows)"
            )
        }
        var result: [UInt8] = []
        result.reserveCapacity(range.count * layout.rowBytes)
        let across = layout.chunksAcross
        if across > 1 {
            // A row is a run of chunks, the last of which may reach beyond it.
            for row in range {
                var left = layout.rowBytes
                for part in 0..<across {
                    let bytes = try chunk(row * across + part)
                    result.append(contentsOf: bytes.prefix(left))
                    left -= min(left, bytes.count)
                }
            }
            return result
        }
        var row = range.lowerBound
        while row < range.upperBound {
            let index = row / layout.chunkRows
            let first = index * layout.chunkRows
            let end = min(range.upperBound, first + layout.chunkRows)
            let bytes = try chunk(index)
            let rowBytes = layout.rowBytes
            result.append(contentsOf: bytes[(row - first) * rowBytes..<(end - first) * rowBytes])
            row = end
        }
        return result
    }

    /// Rows `range` as integers of the stored type.
    func integers<T: FixedWidthInteger & BitwiseCopyable>(
        rows range: Range<Int>,
        as type: T.Type = T.self
    ) throws -> [T] {
        precondition(MemoryLayout<T>.size == layout.type.size, "element size of \(layout.name)")
        let bytes = try bytes(rows: range)
        return [T](unsafeUninitializedCapacity: bytes.count / MemoryLayout<T>.size) { out, count in
            bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(out).copyMemory(from: $0) }
            count = bytes.count / MemoryLayout<T>.size
        }
    }

    /// Rows `range` as f32, from bf16, f16 or f32.
    func floats(rows range: Range<Int>) throws -> [Float] {
        if layout.type == .f32 {
            return try integers(rows: range, as: UInt32.self).map(Float.init(bitPattern:))
        }
        let half = try integers(rows: range, as: UInt16.self)
        return [Float](unsafeUninitializedCapacity: half.count) { out, count in
            if let base = out.baseAddress {
                if layout.type == .bf16 {
                    ck_from_bf16(half, base, half.count)
                } else {
                    ck_f16_to_f32(half, base, half.count)
                }
            }
            count = half.count
        }
    }

    /// Every row as integers.
    func allIntegers<T: FixedWidthInteger & BitwiseCopyable>(as type: T.Type = T.self) throws -> [T]
    {
        try integers(rows: 0..<layout.rows)
    }
}

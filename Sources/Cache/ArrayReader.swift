import CKernels
import Foundation

/// Rows of one array, read chunk by chunk without HDF5.
///
/// Safe to use from several threads.
struct ArrayReader: Sendable {
    let layout: ArrayLayout
    private let descriptor: Int32
    private let path: String
    /// Keeps the descriptor open.
    private let file: VerifiedFile?
    private let cache: ChunkCache
    /// Number of the array in its file.
    private let ordinal: Int

    init(layout: ArrayLayout, file: VerifiedFile, cache: ChunkCache, ordinal: Int) {
        self.layout = layout
        self.file = file
        self.cache = cache
        self.ordinal = ordinal
        descriptor = file.descriptor
        path = file.path
    }

    /// One for looking at each chunk once; the caller keeps the descriptor open.
    init(layout: ArrayLayout, descriptor: Int32, path: String) {
        self.layout = layout
        self.descriptor = descriptor
        self.path = path
        file = nil
        cache = ChunkCache(limit: 0)
        ordinal = 0
    }

    /// Reads and unpacks a chunk and compares its checksum; nothing is kept.
    ///
    /// - Throws: `CacheError.corrupt` naming array and chunk.
    func check(chunk index: Int) throws {
        try ChunkScratch.withOne {
            try unpack(index, into: $0.unpacked(layout.chunkBytes), $0)
        }
    }

    /// Unpacks chunk `index` to a place in `target`.
    private func unpack(
        _ index: Int,
        into target: UnsafeMutableRawBufferPointer,
        at start: Int
    ) throws {
        let place = UnsafeMutableRawBufferPointer(
            rebasing: target[start..<start + layout.chunkBytes]
        )
        try ChunkScratch.withOne { try unpack(index, into: place, $0) }
    }

    /// Unpacks chunk `index`; its checksum is compared on every read from the disk.
    private func unpack(
        _ index: Int,
        into target: UnsafeMutableRawBufferPointer,
        _ scratch: ChunkScratch
    ) throws {
        let place = layout.chunks[index]
        // A chunk that is stored as it is goes straight to its place.
        let stored = place.isRaw ? target : scratch.packed(place.size)
        try DurableFile.readAll(descriptor, path: path, offset: place.offset, into: stored)
        guard crc32c(UnsafeRawBufferPointer(stored)) == place.checksum else {
            throw CacheError.corrupt(path, "chunk \(index) of '\(layout.name)' is damaged")
        }
        guard !place.isRaw else { return }
        let isWhole = layout.codec.unpack(
            UnsafeRawBufferPointer(stored),
            into: target,
            elementSize: layout.type.size,
            scratch: scratch.between(target.count)
        )
        guard isWhole else {
            throw CacheError.corrupt(path, "chunk \(index) of '\(layout.name)' does not unpack")
        }
    }

    /// Calls `body` with the bytes of rows `range`, piece by piece in order, each with its place among
    /// the bytes of the whole range.
    ///
    /// A chunk that the range needs only in part is kept for the next range.
    /// - Parameter target: Room for the whole range, where there is any: chunks that are wanted whole are
    ///   unpacked there, and `body` does not see them.
    private func forEachPiece(
        rows range: Range<Int>,
        straightTo target: UnsafeMutableRawBufferPointer? = nil,
        _ body: (_ start: Int, UnsafeRawBufferPointer) -> Void
    ) throws {
        guard range.lowerBound >= 0, range.upperBound <= layout.rows else {
            throw CacheError.corrupt(
                path,
                "rows \(range) of '\(layout.name)', which has \(layout.rows)"
            )
        }
        let (across, rowBytes) = (layout.chunksAcross, layout.rowBytes)
        if across > 1 {
            // A row is a run of chunks, the last of which may reach beyond it.
            for (number, row) in range.enumerated() {
                for part in 0..<across {
                    let start = part * layout.chunkBytes
                    let wanted = 0..<min(layout.chunkBytes, rowBytes - start)
                    let chunk = row * across + part
                    if let target, wanted.count == layout.chunkBytes {
                        try unpack(chunk, into: target, at: number * rowBytes + start)
                        continue
                    }
                    try withChunk(chunk, isWhole: true) {
                        body(number * rowBytes + start, .init(rebasing: $0[wanted]))
                    }
                }
            }
            return
        }
        var row = range.lowerBound
        while row < range.upperBound {
            let index = row / layout.chunkRows
            let first = index * layout.chunkRows
            let end = min(range.upperBound, first + layout.chunkRows)
            let wanted = (row - first) * rowBytes..<(end - first) * rowBytes
            let start = (row - range.lowerBound) * rowBytes
            let isWhole = wanted.count == layout.chunkBytes
            row = end
            if let target, isWhole {
                try unpack(index, into: target, at: start)
                continue
            }
            try withChunk(index, isWhole: isWhole) {
                body(start, .init(rebasing: $0[wanted]))
            }
        }
    }

    private func withChunk(
        _ index: Int,
        isWhole: Bool,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) throws {
        try ChunkScratch.withOne { scratch in
            if isWhole {
                let target = scratch.unpacked(layout.chunkBytes)
                try unpack(index, into: target, scratch)
                return body(UnsafeRawBufferPointer(target))
            }
            let key = ChunkCache.Key(file: file?.number ?? -1, array: ordinal, chunk: index)
            let chunk = try cache.chunk(key, bytes: layout.chunkBytes) {
                try unpack(index, into: $0.bytes, scratch)
            }
            body(UnsafeRawBufferPointer(chunk.bytes))
        }
    }

    /// The bytes of rows `range`, to a buffer with room for exactly them.
    func read(rows range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
        precondition(target.count == range.count * layout.rowBytes, "room of \(target.count)")
        try forEachPiece(rows: range, straightTo: target) { start, piece in
            UnsafeMutableRawBufferPointer(rebasing: target[start...]).copyMemory(from: piece)
        }
    }

    /// The bytes of rows `range`.
    func bytes(rows range: Range<Int>) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count * layout.rowBytes) { out, count in
            let size = range.count * layout.rowBytes
            try read(
                rows: range,
                into: .init(rebasing: UnsafeMutableRawBufferPointer(out)[..<size])
            )
            count = size
        }
    }

    /// Rows `range` as integers of the stored type.
    func integers<T: FixedWidthInteger & BitwiseCopyable>(
        rows range: Range<Int>,
        as type: T.Type = T.self
    ) throws -> [T] {
        precondition(MemoryLayout<T>.size == layout.type.size, "element size of \(layout.name)")
        let elements = range.count * (layout.columns ?? 1)
        return try [T](unsafeUninitializedCapacity: elements) { out, count in
            let room = UnsafeMutableRawBufferPointer(out)
            try read(rows: range, into: .init(rebasing: room[..<(elements * layout.type.size)]))
            count = elements
        }
    }

    /// Rows `range` as f32, from bf16, f16 or f32, to a buffer with room for exactly them.
    func readFloats(rows range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws {
        let (type, size) = (layout.type, layout.type.size)
        precondition(target.count == range.count * (layout.columns ?? 1), "room of \(target.count)")
        guard let base = target.baseAddress else { return }
        if type == .f32 {
            return try read(rows: range, into: UnsafeMutableRawBufferPointer(target))
        }
        // A chunk is still in the processor's cache when its numbers become floats.
        try forEachPiece(rows: range) { start, piece in
            guard let from = piece.bindMemory(to: UInt16.self).baseAddress else { return }
            (type == .bf16 ? ck_from_bf16 : ck_f16_to_f32)(
                from,
                base + start / size,
                piece.count / size
            )
        }
    }

    /// Rows `range` as f32, from bf16, f16 or f32.
    func floats(rows range: Range<Int>) throws -> [Float] {
        let elements = range.count * (layout.columns ?? 1)
        return try [Float](unsafeUninitializedCapacity: elements) { out, count in
            try readFloats(rows: range, into: .init(rebasing: out[..<elements]))
            count = elements
        }
    }

    /// Every row as integers.
    func allIntegers<T: FixedWidthInteger & BitwiseCopyable>(as type: T.Type = T.self) throws -> [T]
    {
        try integers(rows: 0..<layout.rows)
    }
}

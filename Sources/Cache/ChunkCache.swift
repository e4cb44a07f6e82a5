import Foundation

/// An unpacked chunk.
final class ChunkBuffer: @unchecked Sendable {
    // Unchecked: written by whoever makes it, before anybody else sees it.
    let bytes: UnsafeMutableRawBufferPointer

    init(bytes count: Int) {
        bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 64)
    }

    deinit { bytes.deallocate() }
}

/// The chunks that were used last, of all the files of a cache together: a bounded number of bytes.
final class ChunkCache: @unchecked Sendable {
    // Unchecked: everything mutable is used under `lock` only.

    /// A chunk of an array of an open file.
    struct Key: Hashable {
        /// `VerifiedFile.number`.
        let file: Int
        let array: Int
        let chunk: Int
    }

    private var limit: Int
    private let lock = NSLock()
    private var entries: [Key: (buffer: ChunkBuffer, used: UInt64)] = [:]
    private var held = 0
    private var clock: UInt64 = 0

    /// - Parameter limit: Bytes held at most, but for one chunk that is larger than that.
    init(limit: Int) { self.limit = limit }

    /// The chunk, made by `fill` where it is not held.
    ///
    /// Two threads that want the same one at the same time may both make it.
    func chunk(_ key: Key, bytes: Int, fill: (ChunkBuffer) throws -> Void) throws -> ChunkBuffer {
        if let found = find(key) { return found }
        let made = ChunkBuffer(bytes: bytes)
        try fill(made)
        keep(made, key)
        return made
    }

    /// Lowers the bytes held at most.
    func keep(atMost bytes: Int) {
        lock.withLock {
            limit = min(limit, bytes)
            trim()
        }
    }

    private func find(_ key: Key) -> ChunkBuffer? {
        lock.lock()
        defer { lock.unlock() }
        guard let found = entries[key]?.buffer else { return nil }
        clock += 1
        entries[key]?.used = clock
        return found
    }

    private func keep(_ buffer: ChunkBuffer, _ key: Key) {
        lock.lock()
        defer { lock.unlock() }
        clock += 1
        held += buffer.bytes.count - (entries[key]?.buffer.bytes.count ?? 0)
        entries[key] = (buffer, clock)
        trim()
    }

    private func trim() {
        // A few hundred entries: looking through them costs less than unpacking one.
        while held > limit, entries.count > 1,
            let oldest = entries.min(by: { $0.value.used < $1.value.used })
        {
            held -= oldest.value.buffer.bytes.count
            entries[oldest.key] = nil
        }
    }
}

/// Room for reading and unpacking a chunk, used by one thread at a time and then by the next.
final class ChunkScratch {
    /// The packed bytes.
    private var packed = ChunkBuffer(bytes: 0)
    /// What a codec needs in between.
    private var between = ChunkBuffer(bytes: 0)
    /// The unpacked bytes, where nobody keeps them.
    private var unpacked = ChunkBuffer(bytes: 0)

    private static let lock = NSLock()
    /// Used under `lock` only.
    nonisolated(unsafe) private static var free: [ChunkScratch] = []

    /// Calls `body` with a scratch that nobody else uses meanwhile.
    static func withOne<T>(_ body: (ChunkScratch) throws -> T) rethrows -> T {
        let scratch = lock.withLock { free.popLast() } ?? ChunkScratch()
        // A large chunk's room is not kept.
        defer { if scratch.isSmall { lock.withLock { free.append(scratch) } } }
        return try body(scratch)
    }

    private var isSmall: Bool {
        packed.bytes.count + between.bytes.count + unpacked.bytes.count <= 4 << 20
    }

    func packed(_ count: Int) -> UnsafeMutableRawBufferPointer { room(&packed, count) }
    func between(_ count: Int) -> UnsafeMutableRawBufferPointer { room(&between, count) }
    func unpacked(_ count: Int) -> UnsafeMutableRawBufferPointer { room(&unpacked, count) }

    private func room(_ buffer: inout ChunkBuffer, _ count: Int) -> UnsafeMutableRawBufferPointer {
        if buffer.bytes.count < count { buffer = ChunkBuffer(bytes: count) }
        return UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count])
    }
}

import CKernels
import Cache
import Foundation

/// Whole arrays, and what their checksums cost.
extension CacheBench {
    /// Reads all rows of an array of one shard on some threads.
    func read(_ request: CacheRequest) throws -> [String: Double] {
        let (name, threads) = (request.array ?? "hidden/final", request.threads ?? 1)
        let shard = try reader(request).shard(request.shard ?? 0)
        let shape = try shard.stored(name)
        let asFloats = request.into == "floats"
        let rowBytes = asFloats ? shape.rowBytes / shape.type.size * 4 : shape.rowBytes
        nonisolated(unsafe) let room = space(shape.rows * rowBytes)
        let failures = Failures()
        // Whole chunks for each thread, some at a time: the threads end together.
        let step = 4 * shape.chunkRows
        let pieces = (shape.rows + step - 1) / step
        let next = Next()
        let seconds = elapsed {
            DispatchQueue.concurrentPerform(iterations: threads) { _ in
                failures.catching {
                    while let piece = next.take(below: pieces) {
                        let rows = piece * step..<min(shape.rows, (piece + 1) * step)
                        let target = UnsafeMutableRawBufferPointer(
                            rebasing: room[rows.lowerBound * rowBytes..<rows.upperBound * rowBytes]
                        )
                        switch request.into ?? "stored" {
                        case "floats":
                            try shard.readFloats(
                                name,
                                rows: rows,
                                into: target.bindMemory(to: Float.self)
                            )
                        case "nothing":
                            let chunks = piece * 4..<min(shape.chunks.count, piece * 4 + 4)
                            try shard.check(name, chunks: chunks)
                        default: try shard.readStored(name, rows: rows, into: target)
                        }
                    }
                }
            }
        }
        try failures.rethrow()
        return ["seconds": seconds, "bytes": Double(shape.rows * shape.rowBytes)]
    }

    /// The best of some passes over an array's chunks: fetching them, summing each up right after it was
    /// fetched, and reading as always.
    func checksum(_ request: CacheRequest) throws -> [String: Double] {
        let name = request.array ?? "hidden/final"
        let shard = try reader(request).shard(request.shard ?? 0)
        let shape = try shard.stored(name)
        let descriptor = open(shard.path, O_RDONLY)
        defer { close(descriptor) }
        let largest = shape.chunks.map { $0.end - $0.start }.max() ?? 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: largest, alignment: 64)
        defer { buffer.deallocate() }
        guard let bytes = buffer.bindMemory(to: UInt8.self).baseAddress else { return [:] }
        var sum: UInt32 = 0
        var best = (fetched: Double.infinity, summed: Double.infinity, whole: Double.infinity)
        for _ in 0..<3 {
            var (fetched, summed) = (0.0, 0.0)
            for chunk in shape.chunks {
                let size = chunk.end - chunk.start
                fetched += elapsed { _ = pread(descriptor, bytes, size, off_t(chunk.start)) }
                summed += elapsed { sum ^= ck_crc32c(0, bytes, size) }
            }
            best.fetched = min(best.fetched, fetched)
            best.summed = min(best.summed, summed)
            best.whole = min(best.whole, try read(request)["seconds"] ?? .infinity)
        }
        return [
            "fetch": best.fetched, "checksum": best.summed, "whole": best.whole,
            "packed": Double(shape.chunks.reduce(0) { $0 + $1.end - $1.start }),
            "bytes": Double(shape.rows * shape.rowBytes), "sum": Double(sum),
        ]
    }
}

/// Numbers that several threads take one after another.
final class Next: @unchecked Sendable {
    // Unchecked: used under `lock` only.
    private let lock = NSLock()
    private var value = 0

    func take(below limit: Int) -> Int? {
        lock.withLock {
            guard value < limit else { return nil }
            defer { value += 1 }
            return value
        }
    }
}

/// The first error of several threads.
final class Failures: @unchecked Sendable {
    // Unchecked: used under `lock` only.
    private let lock = NSLock()
    private var first: (any Error)?

    func catching(_ body: () throws -> Void) {
        do { try body() } catch { lock.withLock { first = first ?? error } }
    }

    func rethrow() throws { if let first { throw first } }
}

import Foundation
import Ranks
import Synchronization

@testable import Distill

/// Ranks of one process, a thread each: what several processes do over MPI, where there is none.
final class ThreadRanks: @unchecked Sendable {
    private let count: Int
    private let condition = NSCondition()
    private var arrived = 0, generation = 0
    private var given: [[UInt8]]
    private var results: [[UInt8]] = []

    private init(_ count: Int) {
        self.count = count
        given = Array(repeating: [], count: count)
    }

    /// Runs `body` on so many ranks at once.
    ///
    /// - Returns: What each comes to, in the order of their ranks. A rank that fails ends the test process:
    ///   the others would wait for it for ever.
    static func run<Result: Sendable>(
        _ count: Int,
        _ body: @Sendable @escaping (any Communicator) throws -> Result
    ) -> [Result] {
        let hub = ThreadRanks(count)
        let found = Mutex<[Int: Result]>([:])
        let done = DispatchGroup()
        for rank in 0..<count {
            done.enter()
            Thread.detachNewThread {
                do {
                    let result = try body(Rank(hub, rank))
                    found.withLock { $0[rank] = result }
                } catch { fatalError("rank \(rank) of \(count): \(error)") }
                done.leave()
            }
        }
        done.wait()
        return found.withLock { found in (0..<count).compactMap { found[$0] } }
    }

    private func exchange(_ rank: Int, _ bytes: [UInt8]) -> [[UInt8]] {
        condition.withLock {
            given[rank] = bytes
            arrived += 1
            let own = generation
            if arrived == count {
                (results, arrived, generation) = (given, 0, generation + 1)
                condition.broadcast()
            }
            while generation == own { condition.wait() }
            return results
        }
    }

    private final class Rank: Communicator {
        let hub: ThreadRanks
        let rank: Int
        var count: Int { hub.count }
        let localCount = 1
        let processors: Double? = nil

        init(_ hub: ThreadRanks, _ rank: Int) { (self.hub, self.rank) = (hub, rank) }

        func gather(_ bytes: [UInt8]) -> [[UInt8]] { hub.exchange(rank, bytes) }

        func sum(_ values: [Double]) -> [Double] {
            let all = gather(values.withUnsafeBytes { Array($0) }).map { bytes in
                bytes.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) }
            }
            return values.indices.map { index in all.reduce(0) { $0 + $1[index] } }
        }

        func beginSum(_ values: UnsafeMutableBufferPointer<Float>) -> any PendingSum {
            Pending(self, values)
        }

        func abort(_ code: Int32) -> Never { fatalError("abort \(code)") }
        func finish() {}
    }

    /// Sums when it is waited for what was there when it was begun.
    private final class Pending: PendingSum {
        let rank: Rank
        let values: UnsafeMutableBufferPointer<Float>
        let begun: [Float]

        init(_ rank: Rank, _ values: UnsafeMutableBufferPointer<Float>) {
            (self.rank, self.values, begun) = (rank, values, Array(values))
        }

        func wait() {
            precondition(begun == Array(values), "a gradient was changed while it was summed")
            let all = rank.gather(begun.withUnsafeBytes { Array($0) })
            precondition(Set(all.map(\.count)).count == 1, "ranks sum different gradients")
            for index in values.indices { values[index] = 0 }
            for bytes in all {
                bytes.withUnsafeBytes { bytes in
                    for (index, value) in bytes.bindMemory(to: Float.self).enumerated() {
                        values[index] += value
                    }
                }
            }
        }
    }
}

import Dispatch
import Foundation

/// How many threads the loops and products use.
public enum Threads {
    /// `RETORT_THREADS` if set to a positive number, else the number of processors.
    public static let count: Int = {
        if let text = ProcessInfo.processInfo.environment["RETORT_THREADS"],
            let number = Int(text), number > 0
        {
            return min(number, 256)
        }
        return max(1, ProcessInfo.processInfo.activeProcessorCount)
    }()
}

/// Runs `body` over `0..<count` cut into one contiguous range a thread.
///
/// The cut depends on `count` and the number of threads alone, so sums made per worker and then
/// added in order of worker are the same every time.
/// - Parameter minimum: The fewest elements worth a thread of their own.
public func parallelRanges(
    _ count: Int,
    minimum: Int = 1,
    _ body: @Sendable (_ range: Range<Int>, _ worker: Int) -> Void
) {
    guard count > 0 else { return }
    let workers = max(1, min(Threads.count, count / max(1, minimum)))
    if workers == 1 {
        body(0..<count, 0)
        return
    }
    DispatchQueue.concurrentPerform(iterations: workers) { worker in
        body((count * worker / workers)..<(count * (worker + 1) / workers), worker)
    }
}

/// Runs `body` for every index, handing out indices one by one: for pieces of unequal size.
public func parallelEach(_ count: Int, _ body: @Sendable (_ index: Int) -> Void) {
    if count <= 1 || Threads.count == 1 {
        for index in 0..<count { body(index) }
        return
    }
    DispatchQueue.concurrentPerform(iterations: count, execute: body)
}

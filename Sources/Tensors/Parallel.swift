import CKernels
import Dispatch
import Foundation
import Synchronization

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

    /// Turns that a thread of a loop spins for the others before it sleeps.
    private static let spins = "1000"

    /// Makes threads that wait for others of a loop sleep soon: starts this program again, once, with libgomp's
    /// variable for it, which it reads as it is loaded.
    ///
    /// By default they spin for milliseconds, and where other programs run too they take the processor from
    /// the one that they wait for. On two processors a step of training took 0.9 of the time alone, and 0.6
    /// beside two busy programs, at 0.4 of the processor time.
    ///
    /// To be called before anything else. Whoever sets `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT` has said how to
    /// wait, and nothing happens; neither does it where the program cannot be found.
    public static func waitBriefly() {
        guard getenv("OMP_WAIT_POLICY") == nil, getenv("GOMP_SPINCOUNT") == nil,
            let path = realpath("/proc/self/exe", nil)
        else { return }
        defer { free(path) }
        setenv("GOMP_SPINCOUNT", spins, 1)
        execv(path, CommandLine.unsafeArgv)
    }

    /// True inside `parallelStreams`, where each thread does all of its work itself.
    static var isAlone: Bool { ck_is_alone() != 0 }
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
    let workers = Threads.isAlone ? 1 : max(1, min(Threads.count, count / max(1, minimum)))
    if workers == 1 {
        body(0..<count, 0)
        return
    }
    OneDNNThreads.perform(workers) { worker in
        body((count * worker / workers)..<(count * (worker + 1) / workers), worker)
    }
}

/// Runs `body` for every index, handing out indices one by one: for pieces of unequal size.
public func parallelEach(_ count: Int, _ body: @Sendable (_ index: Int) -> Void) {
    if count <= 1 || Threads.count == 1 || Threads.isAlone {
        for index in 0..<count { body(index) }
        return
    }
    OneDNNThreads.perform(count, body)
}

/// Runs `body` for every index on up to `streams` threads, each of which does all of its work alone: loops
/// and products inside do not share it out again.
///
/// For large independent pieces: no thread waits for another before the end, and what comes of a piece
/// does not depend on the number of threads.
public func parallelStreams(
    _ count: Int,
    streams: Int = Threads.count,
    _ body: @Sendable (_ index: Int) -> Void
) {
    let next = Atomic(0)
    withSingleThreadedProducts {
        DispatchQueue.concurrentPerform(iterations: max(1, min(streams, count))) { _ in
            let wasAlone = ck_is_alone()
            ck_set_alone(1)
            let threads = OneDNNThreads.set(1)
            defer {
                ck_set_alone(wasAlone)
                OneDNNThreads.set(threads)
            }
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }
}

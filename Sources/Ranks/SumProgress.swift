#if MPI
    import CMPI
    import Foundation

    /// The sums under way.
    ///
    /// MPI works on them inside its own calls alone, so a thread calls it every so often while there are some,
    /// beside the one that trains.
    final class SumProgress: @unchecked Sendable {
        /// Microseconds between two looks: a look at nothing new costs about one.
        private static let pause: UInt32 = 100

        /// Held during each call of MPI: two threads may not be inside at once.
        private let condition = NSCondition()
        private var pending: [Int: UnsafeMutableRawPointer] = [:]
        private var begun = 0
        private var hasThread = false

        /// Runs `body`, which calls MPI, while no other thread does.
        func exclusively<Result>(_ body: () -> Result) -> Result {
            condition.withLock(body)
        }

        /// Begins a sum.
        ///
        /// - Returns: Its number.
        func begin(_ values: UnsafeMutableBufferPointer<Float>) -> Int {
            condition.withLock {
                startThread()
                begun += 1
                pending[begun] = cmpi_begin_sum(values.baseAddress, Int32(values.count))
                condition.signal()
                return begun
            }
        }

        /// Returns when the sums of these numbers have ended; works on them all the while.
        func wait(for numbers: [Int]) {
            while !condition.withLock({ () -> Bool in
                look()
                return numbers.allSatisfy { pending[$0] == nil }
            }) { sched_yield() }
        }

        private func look() {
            for (number, sum) in pending where cmpi_test_sum(sum) != 0 { pending[number] = nil }
        }

        private func startThread() {
            guard !hasThread else { return }
            hasThread = true
            Thread.detachNewThread { [self] in
                while true {
                    condition.withLock {
                        while pending.isEmpty { condition.wait() }
                        look()
                    }
                    usleep(Self.pause)
                }
            }
        }
    }
#endif

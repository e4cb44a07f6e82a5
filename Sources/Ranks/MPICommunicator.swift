#if MPI
    import CMPI
    import Foundation

    /// Processes that `mpirun` or `srun` started, over MPI.
    ///
    /// One for each process, made before anything else calls MPI.
    public final class MPICommunicator: Communicator {
        /// See `Communicator`.
        public let rank: Int
        /// See `Communicator`.
        public let count: Int
        /// See `Communicator`.
        public let localCount: Int
        /// See `Communicator`.
        public let processors: Double?
        /// Sums that MPI takes at a time.
        private static let most = 1 << 28
        private let progress = SumProgress()

        /// Starts MPI.
        ///
        /// - Throws: `RanksError.cannotStart`.
        public init() throws {
            let code = cmpi_start()
            guard code == 0 else { throw RanksError.cannotStart(code: Int(code)) }
            rank = Int(cmpi_rank())
            count = Int(cmpi_count())
            localCount = Int(cmpi_local_count())
            let share = cmpi_processors()
            processors = share > 0 ? share : nil
        }

        /// See `Communicator`.
        public func sum(_ values: [Double]) -> [Double] {
            var values = values
            progress.exclusively { cmpi_sum(&values, Int32(values.count)) }
            return values
        }

        /// See `Communicator`.
        public func gather(_ bytes: [UInt8]) -> [[UInt8]] {
            var sizes = [Int64](repeating: 0, count: count)
            progress.exclusively { cmpi_gather_sizes(Int64(bytes.count), &sizes) }
            let counts = sizes.map { Int32($0) }
            var offsets: [Int32] = []
            var total: Int32 = 0
            for size in counts {
                offsets.append(total)
                total += size
            }
            var all = [UInt8](repeating: 0, count: Int(total))
            progress.exclusively { cmpi_gather(bytes, Int32(bytes.count), &all, counts, offsets) }
            return zip(offsets, counts).map { Array(all[Int($0)..<Int($0 + $1)]) }
        }

        /// See `Communicator`.
        public func beginSum(_ values: UnsafeMutableBufferPointer<Float>) -> any PendingSum {
            let pieces = stride(from: 0, to: values.count, by: Self.most).map {
                UnsafeMutableBufferPointer(rebasing: values[$0..<min($0 + Self.most, values.count)])
            }
            return Pending(progress, numbers: pieces.map(progress.begin))
        }

        /// See `Communicator`.
        public func abort(_ code: Int32) -> Never { cmpi_abort(code) }

        /// See `Communicator`.
        public func finish() { progress.exclusively { cmpi_finish() } }

        private final class Pending: PendingSum {
            private let progress: SumProgress
            private let numbers: [Int]

            init(_ progress: SumProgress, numbers: [Int]) {
                self.progress = progress
                self.numbers = numbers
            }

            func wait() { progress.wait(for: numbers) }
        }
    }
#endif

import Foundation
import Ranks

/// The processes that train together: their start, their words and their end.
enum DistillRanks {
    /// Seconds that rank 0 has to tell an error that all ranks met, and to end them, before another tells it.
    private static let grace: UInt32 = 8

    /// Runs `body` on every rank.
    ///
    /// An error on one of them ends all with its words and its code; a stop, which all have agreed on, ends
    /// each by itself.
    ///
    /// - Throws: `RanksError`; what `body` throws, where there is one rank, or a `Failure` with code 75.
    static func run(_ body: (any Communicator) throws -> Void) throws {
        let ranks = try Launch().communicator()
        // The one that mpirun passes on as it is: at TERM it kills, a second later.
        if Launch().count != nil { Signals.stop(at: SIGUSR1) }
        if ranks.count > 1 { share(ranks) }
        do {
            try body(ranks)
        } catch {
            let failure = Failure(error) ?? Failure("\(error)", code: Failure.Code.failed)
            if ranks.count > 1 && failure.code != Failure.Code.stopped {
                if !ranks.isFirst { sleep(grace) }
                Console.error(
                    ranks.isFirst
                        ? failure.message
                        : "rank \(ranks.rank) of \(ranks.count): \(failure.message)"
                )
                ranks.abort(failure.code)
            }
            ranks.finish()
            if ranks.count > 1 && !ranks.isFirst { exit(failure.code) }
            throw error
        }
        ranks.finish()
    }

    /// Refuses what only one process can do.
    ///
    /// - Throws: `Failure` (64) in one of several that were started together.
    static func requireOne(for command: String) throws {
        guard let count = Launch().count, count > 1 else { return }
        throw Failure(
            "\(command) is one process, and this is one of \(count) that mpirun or srun started; run "
                + "the stages by themselves: `retort extract` as workers, `retort distill` as ranks",
            code: Failure.Code.usage
        )
    }

    /// Rank 0 speaks, and each rank uses its share of the processors where nobody has said how many.
    private static func share(_ ranks: any Communicator) {
        if !ranks.isFirst { Console.hush() }
        let all = Double(ProcessInfo.processInfo.activeProcessorCount)
        let share = ranks.processors ?? all / Double(ranks.localCount)
        // Before anything has asked for `Threads.count`. Three thirds may add up to a little less than one.
        setenv("RETORT_THREADS", "\(max(1, Int(share + 1e-6)))", 0)
    }
}

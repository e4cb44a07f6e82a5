import Dispatch
import Foundation
import Synchronization

/// Ctrl-C and a scheduler's TERM ask a job to stop at a point from which it can go on; the second
/// Ctrl-C ends it at once.
enum Signals {
    private static let stopRequests = Atomic<Int>(0)
    nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []

    private static let endsAtOnce = Atomic(false)
    private static let isQuiet = Atomic(false)

    /// From now on a stop is not spoken of: there is nothing that would go on until a safe point.
    static func stopQuietly() { isQuiet.store(true, ordering: .relaxed) }

    /// Runs what has nothing to lose: the first Ctrl-C ends it.
    static func stoppingAtOnce<Result>(_ body: () throws -> Result) rethrows -> Result {
        endsAtOnce.store(true, ordering: .relaxed)
        defer { endsAtOnce.store(false, ordering: .relaxed) }
        return try body()
    }

    /// What is removed where a signal ends the program at once.
    private static let unfinished = Mutex<URL?>(nil)

    /// Runs what fills a directory; what it has made is removed when it fails, or a signal ends it.
    static func removing(_ directory: URL, _ body: () throws -> Void) throws {
        unfinished.withLock { $0 = directory }
        defer { unfinished.withLock { $0 = nil } }
        do { try body() } catch {
            try? FileManager.default.removeItem(at: directory)
            throw error
        }
    }

    private static func endNow(_ code: Int32) {
        unfinished.withLock { directory in
            if let directory { try? FileManager.default.removeItem(at: directory) }
            _exit(code)
        }
    }

    /// Whether a stop was asked for.
    ///
    /// Long loops look at it.
    static var shouldStop: Bool { stopRequests.load(ordering: .relaxed) > 0 }

    static func install() {
        // A reader that goes away (`| head`) ends us quietly, as it does other programs.
        signal(SIGPIPE, SIG_DFL)
        // Past `ulimit -f` a write fails like one on a full disk, with words, instead of killing us.
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGINT, SIGTERM] { stop(at: number) }
    }

    private static let queue = DispatchQueue(label: "retort.signals")

    /// From now on a signal asks for a stop.
    static func stop(at number: Int32) {
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setEventHandler {
            let count = stopRequests.add(1, ordering: .relaxed).newValue
            if count > 1 || endsAtOnce.load(ordering: .relaxed) { endNow(128 + number) }
            if !isQuiet.load(ordering: .relaxed) {
                Console.say("\nstopping at the next safe point; once more stops at once")
            }
        }
        source.resume()
        sources.append(source)
    }
}

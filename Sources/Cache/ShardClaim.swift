import Dispatch
import Foundation

/// The right to write one shard, or the teacher's tables: a file under `claims/` that one process
/// at a time has made, and touches while it works.
///
/// A claim saves work, it does not guard the data: when two processes write the same shard after
/// all (a claim taken for dead whose holder was only slow), both write the same bytes under
/// temporary names of their own, and renaming is atomic, so that either order leaves a whole file.
public final class ShardClaim: @unchecked Sendable {
    // Unchecked: `descriptor` is touched by the timer and closed only after the timer is cancelled,
    // on the timer's queue.

    private let path: String
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "retort.claim")
    private let timer: any DispatchSourceTimer
    private var isOpen = true

    /// Holds the file behind `descriptor`, which has the name `path`.
    ///
    /// It is touched by a timer and not where the work shows progress: one layer of a large teacher
    /// may take longer than the time after which a claim counts as dead.
    init(path: String, descriptor: Int32, timeout: Int) {
        self.path = path
        self.descriptor = descriptor
        timer = DispatchSource.makeTimerSource(queue: queue)
        let interval = max(0.2, min(5, Double(timeout) / 4))
        timer.schedule(deadline: .now() + interval, repeating: interval)
        // UTIME_NOW: the time of the file system's own machine.
        timer.setEventHandler { futimens(descriptor, nil) }
        timer.resume()
    }

    deinit { release() }

    /// False when another process took the claim because this one seemed dead.
    public var isHeld: Bool {
        queue.sync { isOpen && ShardClaims.isSame(descriptor, path) }
    }

    /// Gives the claim back; a claim that another process took is left alone.
    public func release() {
        timer.cancel()
        queue.sync {
            guard isOpen else { return }
            if ShardClaims.isSame(descriptor, path) { unlink(path) }
            close(descriptor)
            isOpen = false
        }
    }
}

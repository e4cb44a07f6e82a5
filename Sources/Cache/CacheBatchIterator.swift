import Foundation

/// Some steps of a stream that are read together, when there is room for them.
struct CacheLoad {
    let read: () throws -> [CacheBatch]
}

/// Batches made by a background thread, one load ahead of the one that is being used.
///
/// Used from one thread. Dropping it stops the background thread.
public final class CacheBatchIterator {
    private let queue: LoadQueue
    /// What is left of the current load, the next batch last.
    private var batches: [CacheBatch] = []
    /// Seconds spent waiting for the background thread.
    public private(set) var waited: TimeInterval = 0

    init(_ produce: @escaping @Sendable ((CacheLoad) -> Bool) throws -> Void) {
        let queue = LoadQueue()
        self.queue = queue
        let thread = Thread {
            do {
                try produce { queue.put($0) }
                queue.finish(nil)
            } catch {
                queue.finish(error)
            }
        }
        thread.name = "retort cache prefetch"
        thread.stackSize = 2 << 20
        thread.start()
    }

    deinit { queue.cancel() }

    /// The next batch, or nil after the epoch's last.
    ///
    /// - Throws: What the reader found, after the batches of the loads before.
    public func next() throws -> CacheBatch? {
        while batches.isEmpty {
            let start = Date()
            defer { waited += Date().timeIntervalSince(start) }
            guard let more = try queue.take() else { return nil }
            batches = more.reversed()
        }
        return batches.popLast()
    }
}

/// Room for one load between two threads.
private final class LoadQueue: @unchecked Sendable {
    // Unchecked: everything below is used under `condition` only.
    private let condition = NSCondition()
    private var ready: [CacheBatch]?
    private var isFinished = false
    private var isCancelled = false
    private var error: (any Error)?

    /// Waits until the load before was taken, and only then reads this one, so that two are in memory at
    /// most; false when nobody wants more.
    func put(_ load: CacheLoad) -> Bool {
        guard waitForRoom() else { return false }
        do {
            let batches = try load.read()
            condition.lock()
            defer { condition.unlock() }
            ready = batches
            condition.signal()
            return !isCancelled
        } catch {
            finish(error)
            return false
        }
    }

    private func waitForRoom() -> Bool {
        condition.lock()
        defer { condition.unlock() }
        while ready != nil && !isCancelled { condition.wait() }
        return !isCancelled
    }

    func finish(_ error: (any Error)?) {
        condition.lock()
        defer { condition.unlock() }
        isFinished = true
        self.error = self.error ?? error
        condition.signal()
    }

    func cancel() {
        condition.lock()
        defer { condition.unlock() }
        isCancelled = true
        condition.signal()
    }

    func take() throws -> [CacheBatch]? {
        condition.lock()
        defer { condition.unlock() }
        while ready == nil && !isFinished { condition.wait() }
        if let batches = ready {
            ready = nil
            condition.signal()
            return batches
        }
        if let error { throw error }
        return nil
    }
}

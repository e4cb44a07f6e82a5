import Foundation

/// Batches made by a background thread, a bounded number of them ahead.
///
/// Used from one thread. Dropping it stops the background thread.
public final class CacheBatchIterator {
    private let queue: BatchQueue

    init(
        capacity: Int,
        _ produce: @escaping @Sendable ((CacheBatch) -> Bool) throws -> Void
    ) {
        let queue = BatchQueue(capacity: capacity)
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
    /// - Throws: What the reader found, after the batches before it.
    public func next() throws -> CacheBatch? { try queue.take() }
}

/// A queue between two threads.
private final class BatchQueue: @unchecked Sendable {
    // Unchecked: everything below is used under `condition` only.
    private let condition = NSCondition()
    private let capacity: Int
    private var batches: [CacheBatch] = []
    private var isFinished = false
    private var isCancelled = false
    private var error: (any Error)?

    init(capacity: Int) { self.capacity = capacity }

    /// Waits for room; false when nobody wants more.
    func put(_ batch: CacheBatch) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        while batches.count >= capacity && !isCancelled { condition.wait() }
        guard !isCancelled else { return false }
        batches.append(batch)
        condition.signal()
        return true
    }

    func finish(_ error: (any Error)?) {
        condition.lock()
        defer { condition.unlock() }
        isFinished = true
        self.error = error
        condition.signal()
    }

    func cancel() {
        condition.lock()
        defer { condition.unlock() }
        isCancelled = true
        condition.signal()
    }

    func take() throws -> CacheBatch? {
        condition.lock()
        defer { condition.unlock() }
        while batches.isEmpty && !isFinished { condition.wait() }
        guard batches.isEmpty else {
            let batch = batches.removeFirst()
            condition.signal()
            return batch
        }
        if let error { throw error }
        return nil
    }
}

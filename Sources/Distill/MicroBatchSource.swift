import Cache
import Foundation

/// The micro-batches of a run by number: number k is batch k mod b of epoch k / b.
final class MicroBatchSource {
    let stream: CacheStream
    /// Micro-batches of an epoch.
    let batchesPerEpoch: Int
    private let make: ([CacheRecord]) throws -> MicroBatch
    private var iterator: CacheBatchIterator?
    private var position: Int

    /// - Parameter position: The first micro-batch to give.
    init(
        _ stream: CacheStream,
        position: Int,
        make: @escaping ([CacheRecord]) throws -> MicroBatch
    ) throws {
        self.stream = stream
        self.position = position
        self.make = make
        batchesPerEpoch = max(1, try stream.batchCount(epoch: 0))
    }

    /// The next `count` micro-batches, over the end of an epoch where need be.
    func next(_ count: Int) throws -> [MicroBatch] {
        try (0..<count).map { _ in
            let (epoch, index) = position.quotientAndRemainder(dividingBy: batchesPerEpoch)
            let iterator = try iterator ?? stream.batches(epoch: epoch, startingAt: index)
            self.iterator = iterator
            guard let batch = try iterator.next() else {
                throw DistillError.noExamples(
                    split: stream.split,
                    remedy: "run `retort cache verify` on the cache"
                )
            }
            position += 1
            if position % batchesPerEpoch == 0 { self.iterator = nil }
            return try make(batch.records)
        }
    }
}

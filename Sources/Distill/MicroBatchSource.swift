import Cache
import Foundation

/// The micro-batches of a run by number, counted through its epochs.
///
/// An epoch has the same number of them every time where they are filled by examples; filled by tokens,
/// each epoch has its own.
final class MicroBatchSource {
    let stream: CacheStream
    /// The pieces of a micro-batch that are this rank's, and how many it has with those of other ranks.
    typealias Make = (_ records: [CacheRecord], _ firstPiece: Int) throws -> (
        mine: [MicroBatch], count: Int
    )
    private let make: Make
    private var iterator: CacheBatchIterator?
    /// The place of the next micro-batch, and how many its epoch has.
    private var epoch = 0, index = 0, count: Int

    /// - Parameter position: The number of the first micro-batch to give.
    init(
        _ stream: CacheStream,
        position: Int,
        make: @escaping Make
    ) throws {
        self.stream = stream
        self.make = make
        count = max(1, try stream.batchCount(epoch: 0))
        index = position
        while index >= count { try beginNextEpoch() }
    }

    /// Passes over the data that lie before the next micro-batch.
    var epochs: Double { Double(epoch) + Double(index) / Double(count) }

    /// The next `count` micro-batches, over the end of an epoch where need be, each in the pieces that `make`
    /// makes of it.
    func next(_ count: Int) throws -> [MicroBatch] {
        var pieces = 0
        return try (0..<count).flatMap { _ in
            if index >= self.count { try beginNextEpoch() }
            let iterator = try iterator ?? stream.batches(epoch: epoch, startingAt: index)
            self.iterator = iterator
            guard let batch = try iterator.next() else {
                throw DistillError.noExamples(
                    split: stream.split,
                    remedy: "run `retort cache verify` on the cache"
                )
            }
            index += 1
            let made = try make(batch.records, pieces)
            pieces += made.count
            return made.mine
        }
    }

    private func beginNextEpoch() throws {
        index -= count
        epoch += 1
        iterator = nil
        if case .tokens = stream.size { count = max(1, try stream.batchCount(epoch: epoch)) }
    }
}

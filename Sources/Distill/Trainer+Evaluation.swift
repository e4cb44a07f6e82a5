import Cache

/// What a run measures on the way.
extension Trainer {
    /// Means over the held-out split, of the averaged weights where there are such; nil where the cache
    /// has no such split.
    public func heldOutLosses() throws -> [String: Double]? {
        guard reader.recordCount(split: settings.heldOutSplit) > 0 else { return nil }
        let batches = try stream(settings.heldOutSplit).batches(epoch: 0)
        return try training.withAverage {
            var sums = CriterionSums()
            while let batch = try batches.next() {
                sums.add(try training.losses(try makeBatch(batch.records)))
            }
            return sums.means.filter { $0.value.isFinite }
        }
    }
}

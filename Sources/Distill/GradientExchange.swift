import Models
import Ranks
import Tensors

/// Adds up gradients over ranks while the rest of the way back is still under way.
///
/// Parameters lie in buckets, in the order in which the way back is done with them. A bucket is under way
/// as soon as it and all before it are done: every rank then begins the same sums in the same order, also
/// one that has nothing to add.
final class GradientExchange {
    /// Parameters whose gradients are summed together.
    private struct Bucket {
        var parameters: [Parameter] = []
        var count: Int { parameters.reduce(0) { $0 + $1.value.count } }
    }

    /// A bucket that was begun; one gradient is summed where it lies, several in a copy.
    private struct UnderWay {
        let bucket: Bucket
        let copy: Matrix?
        let sum: any PendingSum
    }

    /// Large enough that a sum's start does not count, small enough that many end before the way back does.
    static let bucketBytes = 25 << 20

    private let ranks: any Communicator
    private let buckets: [Bucket]
    private let bucketOf: [ObjectIdentifier: Int]
    /// Parameters of each bucket that are not done yet in this step.
    private var left: [Int]
    private var underWay: [UnderWay] = []

    /// - Parameter parameters: In the order in which the way back is done with them; each has its gradient.
    init(_ parameters: [Parameter], _ ranks: any Communicator, bucketBytes: Int = bucketBytes) {
        self.ranks = ranks
        var buckets: [Bucket] = []
        for parameter in parameters {
            let count = (buckets.last?.count ?? .max / 8) + parameter.value.count
            if count * MemoryLayout<Float>.stride > bucketBytes { buckets.append(Bucket()) }
            buckets[buckets.count - 1].parameters.append(parameter)
        }
        self.buckets = buckets
        bucketOf = Dictionary(
            buckets.enumerated().flatMap { index, bucket in
                bucket.parameters.map { (ObjectIdentifier($0), index) }
            },
            uniquingKeysWith: { first, _ in first }
        )
        left = buckets.map(\.parameters.count)
    }

    /// Says that nothing more is added to these gradients in this step; others than those that are summed
    /// are left alone.
    func done(_ parameters: [Parameter]) {
        for parameter in parameters {
            guard let bucket = bucketOf[ObjectIdentifier(parameter)] else { continue }
            left[bucket] -= 1
        }
        while underWay.count < buckets.count, left[underWay.count] == 0 { begin() }
    }

    /// Begins what is left, and returns when every gradient is that of all ranks.
    func finish() {
        while underWay.count < buckets.count { begin() }
        for item in underWay {
            item.sum.wait()
            guard let copy = item.copy else { continue }
            var start = copy.base
            for gradient in item.bucket.parameters.compactMap(\.gradient) {
                gradient.base.update(from: start, count: gradient.count)
                start += gradient.count
            }
        }
        underWay = []
        left = buckets.map(\.parameters.count)
    }

    private func begin() {
        let bucket = buckets[underWay.count]
        let gradients = bucket.parameters.compactMap(\.gradient)
        precondition(gradients.count == bucket.parameters.count, "a gradient is missing")
        var copy: Matrix?
        if gradients.count > 1 {
            let all = Matrix(uninitialized: 1, bucket.count)
            var end = all.base
            for gradient in gradients {
                end.update(from: gradient.base, count: gradient.count)
                end += gradient.count
            }
            copy = all
        }
        let numbers = UnsafeMutableBufferPointer(
            start: copy?.base ?? gradients[0].base,
            count: bucket.count
        )
        underWay.append(
            UnderWay(bucket: bucket, copy: copy, sum: ranks.beginSum(numbers))
        )
    }
}

import CKernels
import Tensors

extension HeadLoss {
    /// Cross-entropy over rows (summed) and the distribution of the next byte at each, (n, 513).
    func nextBytes(
        _ side: SupervisedRows,
        _ head: HeadProduct,
        _ buckets: NextByteBuckets
    ) -> (crossEntropy: Double, nextByte: Matrix) {
        let nextByte = Matrix(zeros: side.count, NextByteBuckets.count)
        var sum = 0.0
        forEachChunk([Operand(hidden: side.hidden, head: head)]) { range, logits in
            let logits = logits[0]
            var losses = [Double](repeating: 0, count: range.count)
            losses.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let losses = buffer
                parallelRanges(range.count) { rows, _ in
                    for r in rows {
                        let x = logits.row(r)
                        let lse = ck_log_sum_exp(x, logits.columns, 1, nil)
                        losses[r] = Double(lse) - Double(x[Int(side.labels[range.lowerBound + r])])
                        ck_softmax_from(x, logits.columns, 1, lse)
                        let out = nextByte.row(range.lowerBound + r)
                        var sums = [Double](repeating: 0, count: NextByteBuckets.count + 1)
                        for (token, bucket) in buckets.bucketOfToken.enumerated() {
                            sums[Int(bucket)] += Double(x[token])
                        }
                        for b in 0..<NextByteBuckets.count { out[b] = Float(sums[b]) }
                    }
                }
            }
            for loss in losses { sum += loss }
        }
        return (sum, nextByte)
    }
}

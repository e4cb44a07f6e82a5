import CKernels
import Tensors

/// What evaluation asks of each row; nothing of it is learned from.
extension HeadLoss {
    /// What a model says of one position.
    struct RowFigures {
        /// -log p(label).
        var loss = 0.0
        /// The probability of the most likely token, and whether that is the label.
        var confidence: Float = 0
        var isRight = false
        /// That token.
        var largest: UInt32 = 0
    }

    /// Figures of each row, and the distribution of the next byte at each, (n, 513).
    func figures(
        _ side: SupervisedRows,
        _ head: HeadProduct,
        _ buckets: NextByteBuckets
    ) -> (rows: [RowFigures], nextByte: Matrix) {
        let nextByte = Matrix(zeros: side.count, NextByteBuckets.count)
        var all = [RowFigures](repeating: RowFigures(), count: side.count)
        forEachChunk([Operand(hidden: side.hidden, head: head)]) { range, logits in
            let logits = logits[0]
            all.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let all = buffer
                parallelRanges(range.count) { rows, _ in
                    for r in rows {
                        let x = logits.row(r)
                        let at = range.lowerBound + r
                        let label = Int(side.labels[at])
                        var largest = 0
                        _ = ck_largest(x, logits.columns, &largest)
                        let lse = ck_log_sum_exp(x, logits.columns, 1, nil)
                        all[at].loss = Double(lse) - Double(x[label])
                        ck_softmax_from(x, logits.columns, 1, lse)
                        all[at].confidence = x[largest]
                        all[at].isRight = largest == label
                        all[at].largest = UInt32(largest)
                        let out = nextByte.row(at)
                        var sums = [Double](repeating: 0, count: NextByteBuckets.count + 1)
                        for (token, bucket) in buckets.bucketOfToken.enumerated() {
                            sums[Int(bucket)] += Double(x[token])
                        }
                        for b in 0..<NextByteBuckets.count { out[b] = Float(sums[b]) }
                    }
                }
            }
        }
        return (all, nextByte)
    }

    /// How far two models of one vocabulary are apart at one position.
    struct RowGap {
        /// KL(teacher || student) and KL(student || teacher), nats.
        var forward = 0.0, reverse = 0.0
        /// Whether the teacher's most likely token is the student's, or one of its five.
        var isTop = false, isInTopFive = false
    }

    /// Gaps at paired rows, at temperature 1, over the tokens that both heads have.
    func gaps(student: Operand, teacher: Operand) -> [RowGap] {
        var all = [RowGap](repeating: RowGap(), count: student.hidden.rows)
        let width = min(student.head.vocabulary, teacher.head.vocabulary)
        forEachChunk([student, teacher]) { range, logits in
            all.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let all = buffer
                forEachRow(range.count, scratchSize: 2 * Self.lines(width)) { row, scratch in
                    all[range.lowerBound + row] = Self.gap(
                        student: logits[0].row(row),
                        teacher: logits[1].row(row),
                        width,
                        scratch
                    )
                }
            }
        }
        return all
    }

    /// - Parameter scratch: Two lines of `width` floats.
    private static func gap(
        student: UnsafePointer<Float>,
        teacher: UnsafePointer<Float>,
        _ width: Int,
        _ scratch: UnsafeMutablePointer<Float>
    ) -> RowGap {
        let (p, d) = (scratch, scratch + lines(width))
        var gap = RowGap()
        var sums = ck_distances()
        let logStudent = ck_log_partition(student, width, 1)
        let logTeacher = ck_softmax_of(teacher, p, width, 1)
        ck_distances_row(teacher, logTeacher, student, logStudent, 1, p, d, width, &sums)
        gap.forward = sums.kl
        _ = ck_softmax_of(student, p, width, 1)
        ck_distances_row(student, logStudent, teacher, logTeacher, 1, p, d, width, &sums)
        gap.reverse = sums.kl
        var largest = 0
        _ = ck_largest(teacher, width, &largest)
        let value = student[largest]
        var above = 0
        for token in 0..<width where student[token] > value { above += 1 }
        (gap.isTop, gap.isInTopFive) = (above == 0, above < 5)
        return gap
    }
}

import CKernels
import Tensors

/// The k most likely tokens of rows, with their log-probabilities at temperature 1 and the
/// log-partition of the whole row, which tells the mass of the tail.
struct TopLogProbabilities {
    /// n * k, each row's most likely first.
    private(set) var ids: [UInt32]
    /// n * k.
    private(set) var logProbabilities: [Float]
    /// n.
    private(set) var logPartitions: [Float]

    /// Those of the rows of `hidden` (n, D).
    ///
    /// - Throws: `ModelError` when the head cannot be read.
    init(_ hidden: Matrix, k: Int, head: TeacherHead) throws {
        ids = [UInt32](repeating: 0, count: hidden.rows * k)
        logProbabilities = [Float](repeating: 0, count: hidden.rows * k)
        logPartitions = [Float](repeating: 0, count: hidden.rows)
        try head.forEachLogits(of: hidden) { rows, logits in
            fill(rows.lowerBound, logits, k)
        }
    }

    private mutating func fill(_ start: Int, _ logits: Matrix, _ k: Int) {
        ids.withUnsafeMutableBufferPointer { ids in
            logProbabilities.withUnsafeMutableBufferPointer { values in
                logPartitions.withUnsafeMutableBufferPointer { partitions in
                    nonisolated(unsafe) let (ids, values) = (ids, values)
                    nonisolated(unsafe) let partitions = partitions
                    parallelRanges(logits.rows) { range, _ in
                        var heap = [UInt64](repeating: 0, count: max(1, k))
                        for row in range {
                            let partition = ck_log_sum_exp(logits.row(row), logits.columns, 1, nil)
                            partitions[start + row] = partition
                            guard k > 0, let ids = ids.baseAddress,
                                let values = values.baseAddress
                            else { continue }
                            let at = (start + row) * k
                            ck_top_k(
                                logits.row(row),
                                logits.columns,
                                k,
                                ids + at,
                                values + at,
                                &heap
                            )
                            for entry in at..<(at + k) { values[entry] -= partition }
                        }
                    }
                }
            }
        }
    }
}

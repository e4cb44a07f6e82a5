import CKernels
import Cache
import Tensors

/// What is stored of the teacher's logits: each row's most likely tokens, drawn tokens, and the
/// log-partition of the whole row, which tells the mass of the tail.
struct LogitSignals {
    /// What decides the draws of a row, so that blocks, workers and order do not.
    struct RowKey {
        let id: String
        let position: Int
    }

    /// n * k, each row's most likely first.
    private(set) var ids: [UInt32] = []
    /// n * k, at temperature 1.
    private(set) var logProbabilities: [Float] = []
    /// n; empty when nothing of the logits is stored.
    private(set) var logPartitions: [Float] = []
    /// Those of n rows.
    private(set) var samples = SampledTokens()

    private let k: Int
    private let signals: CacheSignals

    /// Those of the rows of `hidden` (n, D).
    ///
    /// - Parameters:
    ///   - k: Most likely tokens of a row.
    ///   - keys: One for each row.
    ///   - full: Called with the log-probabilities (V) of each row in order, when they are stored.
    /// - Throws: `ModelError` when the head cannot be read, and what `full` throws.
    init(
        _ hidden: Matrix,
        k: Int,
        signals: CacheSignals,
        keys: [RowKey],
        head: any LogitSource,
        full: (UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        self.k = k
        self.signals = signals
        guard k > 0 || signals.samples > 0 || signals.fullLogits != nil else { return }
        ids = [UInt32](repeating: 0, count: hidden.rows * k)
        logProbabilities = [Float](repeating: 0, count: hidden.rows * k)
        logPartitions = [Float](repeating: 0, count: hidden.rows)
        try head.forEachLogits(of: hidden) { rows, logits in
            rank(rows.lowerBound, logits)
            if signals.fullLogits == nil && signals.samples == 0 { return }
            // The logits are nobody else's, so they become what is stored of them.
            for row in 0..<logits.rows {
                let partition = logPartitions[rows.lowerBound + row]
                for column in 0..<logits.columns { logits.row(row)[column] -= partition }
                guard signals.fullLogits != nil else { continue }
                try full(UnsafeBufferPointer(start: logits.row(row), count: logits.columns))
            }
            if signals.samples > 0 { draw(logits, keys[rows]) }
        }
    }

    /// The most likely tokens and the log-partitions.
    private mutating func rank(_ start: Int, _ logits: Matrix) {
        let k = k
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

    /// Draws from rows of log-probabilities, which become probabilities.
    private mutating func draw(_ logProbs: Matrix, _ keys: ArraySlice<RowKey>) {
        let (rows, columns) = (logProbs.rows, logProbs.columns)
        let (draws, seed) = (signals.samples, signals.sampleSeed)
        var found = [Int](repeating: 0, count: rows)
        var drawn = [UInt32](repeating: 0, count: rows * draws)
        var counts = [UInt16](repeating: 0, count: rows * draws)
        found.withUnsafeMutableBufferPointer { found in
            drawn.withUnsafeMutableBufferPointer { drawn in
                counts.withUnsafeMutableBufferPointer { counts in
                    nonisolated(unsafe) let (found, drawn, counts) = (found, drawn, counts)
                    parallelRanges(rows) { range, _ in
                        guard let drawn = drawn.baseAddress, let counts = counts.baseAddress
                        else { return }
                        var sums = [Double](repeating: 0, count: columns / 256 + 1)
                        for row in range {
                            let p = logProbs.row(row)
                            ck_softmax_from(p, columns, 1, 0)
                            let uniform = Self.uniform(
                                keys[keys.startIndex + row],
                                count: draws,
                                seed: seed
                            )
                            found[row] = ck_draw(
                                p,
                                columns,
                                uniform,
                                draws,
                                &sums,
                                drawn + row * draws,
                                counts + row * draws
                            )
                        }
                    }
                }
            }
        }
        for row in 0..<rows {
            let entries = row * draws..<row * draws + found[row]
            samples.ids += drawn[entries]
            samples.counts += counts[entries]
            samples.offsets.append(samples.ids.count)
        }
    }

    /// Numbers of [0, 1) with 53 random bits, ascending.
    private static func uniform(_ key: RowKey, count: Int, seed: UInt64) -> [Double] {
        var random = RandomNumbers(
            seed: seed,
            purpose: "sampled logits \(key.id)",
            counter: UInt64(key.position)
        )
        return (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-53 }.sorted()
    }
}

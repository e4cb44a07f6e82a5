import CKernels
import Tensors

/// Vocabulary-sized matrices, reused from chunk to chunk.
struct FidelityBuffers {
    /// Rows that fit.
    let rows: Int
    /// (rows, V): exact logits, an option's, and a third for what is made of them.
    let exact: Matrix, option: Matrix, scratch: Matrix
    /// (rows, V) for each temperature: the exact probabilities.
    let probabilities: [Matrix]

    init(vocabulary: Int, _ settings: FidelitySettings) {
        let count = settings.temperatures.count
        let size = 4 * max(1, vocabulary) * (3 + count)
        let step = max(1, min(settings.batchRows, settings.memoryLimit / size))
        // Whole blocks of 32, which bf16 products are made of.
        rows = step > 32 ? step / 32 * 32 : step
        exact = Matrix(uninitialized: rows, vocabulary)
        option = Matrix(uninitialized: rows, vocabulary)
        scratch = Matrix(uninitialized: rows, vocabulary)
        let rows = rows
        probabilities = (0..<count).map { _ in Matrix(uninitialized: rows, vocabulary) }
    }
}

/// Some rows of a group and what is exact of them.
struct FidelityChunk {
    /// Of the group.
    let rows: Range<Int>
    /// (n, V): z, and room for an option's logits and for what is made of them.
    let exact: Matrix, option: Matrix, scratch: Matrix
    /// (n, V) for each temperature: p.
    let probabilities: [Matrix]
    /// n for each temperature: log sum exp(z / temperature).
    private(set) var partitions: [[Double]]
    /// n: log sum exp z.
    private(set) var atOne: [Double]
    /// n: the most likely token.
    private(set) var largest: [Int]
    /// n for each temperature: |s - p|^2, set by `measureSparse`.
    let gaps: FidelityGaps

    init(
        _ buffers: FidelityBuffers,
        rows: Range<Int>,
        _ states: Matrix,
        _ head: HeadProduct,
        _ settings: FidelitySettings
    ) {
        self.rows = rows
        let part = 0..<rows.count
        exact = buffers.exact.slice(rows: part)
        option = buffers.option.slice(rows: part)
        scratch = buffers.scratch.slice(rows: part)
        probabilities = buffers.probabilities.map { $0.slice(rows: part) }
        gaps = FidelityGaps(temperatures: settings.temperatures.count, rows: rows.count)
        head.logits(states.slice(rows: rows), into: exact)
        let (z, p, columns) = (exact, probabilities, exact.columns)
        partitions = zip(settings.temperatures, p).map { temperature, p in
            eachRow(rows.count) { ck_softmax_of(z.row($0), p.row($0), columns, 1 / temperature) }
        }
        atOne = eachRow(rows.count) { ck_log_partition(z.row($0), columns, 1) }
        largest = eachRow(rows.count) {
            var at = 0
            _ = ck_largest(z.row($0), columns, &at)
            return at
        }
    }

    /// Rows in the chunk.
    var count: Int { rows.count }
}

/// |s - p|^2 of each row at each temperature.
final class FidelityGaps {
    var values: [[Double]]

    init(temperatures: Int, rows: Int) {
        values = [[Double]](
            repeating: [Double](repeating: 0, count: rows),
            count: temperatures
        )
    }
}

/// What `body` makes of each row, several rows at a time.
func eachRow<Result: Sendable>(_ count: Int, _ body: @Sendable (Int) -> Result) -> [Result] {
    [Result](unsafeUninitializedCapacity: count) { buffer, made in
        nonisolated(unsafe) let buffer = buffer
        parallelRanges(count) { range, _ in
            for row in range { buffer.initializeElement(at: row, to: body(row)) }
        }
        made = count
    }
}

/// Adds the sums of the columns of x (n, V) to `total` (V).
func addColumnSums(_ x: Matrix, to total: inout [Double]) {
    total.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        nonisolated(unsafe) let total = base
        parallelRanges(x.columns, minimum: 4096) { range, _ in
            ck_add_column_sums(
                x.base + range.lowerBound,
                x.rows,
                x.stride,
                total + range.lowerBound,
                range.count
            )
        }
    }
}

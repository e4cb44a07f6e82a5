import CKernels

/// The numbers of a matrix in bfloat16, rows end to end and without padding.
struct RoundedMatrix {
    let rows: Int
    let columns: Int
    /// As many floats as hold the numbers, at least.
    private let storage: Matrix

    /// A rounded copy.
    init(_ x: Matrix) {
        (rows, columns) = (x.rows, x.columns)
        // Two bfloat16 numbers have the room of one float.
        storage = Matrix(uninitialized: 1, (x.count + 1) / 2)
        if x.isContiguous {
            Self.round(x.base, bits, x.count)
        } else {
            for row in 0..<rows { ck_to_bf16(x.row(row), bits + row * columns, columns) }
        }
    }

    /// Rounds `x`, whose rows lie end to end, in place: its numbers are gone.
    init(replacing x: Matrix) {
        precondition(x.isContiguous, "rows with gaps")
        (rows, columns) = (x.rows, x.columns)
        storage = x
        // The first numbers by way of a copy: they overlap their own floats.
        let first = min(x.count, Self.copied)
        let source = x.base
        let target = bits
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: Self.copied) { copy in
            guard let start = copy.baseAddress else { return }
            ck_to_bf16(source, start, first)
            target.update(from: start, count: first)
        }
        // Then always twice as many: numbers a to 2a go where the floats a/2 to a were, which are done
        // with, so that threads may share them out.
        var done = first
        while done < x.count {
            let count = min(done, x.count - done)
            Self.round(source + done, target + done, count)
            done += count
        }
    }

    private static let copied = 4_096

    /// rows x columns numbers.
    var bits: UnsafeMutablePointer<UInt16> {
        UnsafeMutableRawPointer(storage.base).assumingMemoryBound(to: UInt16.self)
    }

    private static func round(
        _ source: UnsafeMutablePointer<Float>,
        _ target: UnsafeMutablePointer<UInt16>,
        _ count: Int
    ) {
        nonisolated(unsafe) let source = source
        nonisolated(unsafe) let target = target
        parallelRanges(count, minimum: 1 << 15) { range, _ in
            ck_to_bf16(source + range.lowerBound, target + range.lowerBound, range.count)
        }
    }

    /// sum (columns, x.columns) += the transpose of these numbers times x (rows, x.columns).
    ///
    /// With float32 sums, onto float32 numbers.
    func addTransposedProduct(_ x: RoundedMatrix, into sum: Matrix) {
        precondition(
            x.rows == rows && sum.rows == columns && sum.columns == x.columns,
            "shapes differ"
        )
        guard let library = OneDNN.shared, rows > 0, sum.count > 0 else { return }
        let shape = OneDNN.Shape(
            m: columns,
            n: x.columns,
            k: rows,
            type: .bf16,
            isTransposed: true,
            weights: .rows,
            targetStride: sum.stride,
            accumulates: true
        )
        // Its GEMM copies pieces of a transposed side, which makes it a fifth faster here than the
        // kernels that it would choose itself.
        for wanted in ["gemm:jit", nil] {
            let isDone = library.run(
                shape,
                wanted: wanted,
                source: bits,
                weights: x.bits,
                target: sum.base
            )
            if isDone { return }
        }
        preconditionFailure("oneDNN refused a product over \(rows) rows")
    }
}

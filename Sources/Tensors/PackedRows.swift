import CKernels

/// The rows of a product's left side, rounded to bfloat16 once for all weights that they meet: the
/// pieces of a head.
///
/// Layers round their input for each weight anew: sharing it among queries, keys and values, and between
/// gate and up, changed no time that could be measured.
public struct PackedRows: @unchecked Sendable {
    let plain: Matrix
    /// `plain` in bfloat16, followed by rows of zeros up to a size that has a product; nil for float32.
    let bits: Matrix?

    /// - Parameters:
    ///   - x: (rows, in); not copied for f32, so it must keep its numbers until the last product.
    ///   - compute: The precision of the weights that will be used with it.
    public init(_ x: Matrix, compute: ComputeType) {
        plain = x
        guard compute.available == .bf16 else {
            bits = nil
            return
        }
        let rows = Self.padded(x.rows)
        // Two bfloat16 numbers have the room of one float.
        let bits = Matrix(uninitialized: 1, (rows * x.columns + 1) / 2)
        self.bits = bits
        let columns = x.columns
        bits.base.withMemoryRebound(to: UInt16.self, capacity: 2 * bits.count) { start in
            nonisolated(unsafe) let start = start
            if x.isContiguous {
                parallelRanges(x.count, minimum: 1 << 15) { range, _ in
                    ck_to_bf16(x.base + range.lowerBound, start + range.lowerBound, range.count)
                }
            } else {
                for row in 0..<x.rows { ck_to_bf16(x.row(row), start + row * columns, columns) }
            }
            (start + x.count).update(repeating: 0, count: (rows - x.rows) * columns)
        }
    }

    /// Rows of a product are computed in pieces of this size.
    static let block = 256
    /// A multiple of these rows needs no padding.
    private static let unit = 32

    /// `rows` up to the next size for which a product is made, so that few are: the last piece is any
    /// of 1 to 16 rows, as in generation, or a multiple of 32.
    static func padded(_ rows: Int) -> Int {
        let tail = rows % block
        return rows - tail + (tail <= 16 ? tail : (tail + unit - 1) / unit * unit)
    }
}

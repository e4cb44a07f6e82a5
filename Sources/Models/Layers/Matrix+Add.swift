import CKernels
import Tensors

extension Matrix {
    /// Adds these numbers to those of `target`, of the same shape.
    func add(to target: Matrix) {
        precondition(rows == target.rows && columns == target.columns, "shapes differ")
        parallelRanges(rows, minimum: max(1, (1 << 14) / max(1, columns))) { range, _ in
            for index in range { ck_add(target.row(index), row(index), columns) }
        }
    }
}

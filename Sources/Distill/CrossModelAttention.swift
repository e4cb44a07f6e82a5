import CKernels
import Tensors

/// Attention between the positions of two models within each example (CMA), with its backward pass.
///
/// Scores are Q_i . K_j * scale. Of one example at a time the two attention matrices, n_e x m_e, are
/// held; they are computed again on the way back instead of being kept.
struct CrossModelAttention {
    /// (n, k) and (m, k).
    let queries: Matrix, keys: Matrix
    let scale: Float
    /// Where examples start on the two sides.
    let queryOffsets: [Int], keyOffsets: [Int]

    /// softmax over j of A for one example, (n_e, m_e), and softmax over i of A^T, (m_e, n_e).
    func probabilities(example: Int) -> (toStudent: Matrix, toTeacher: Matrix) {
        let (q, k) = (slice(queries, queryOffsets, example), slice(keys, keyOffsets, example))
        let rows = Matrix(uninitialized: q.rows, k.rows)
        multiply(q, k, transposeB: true, into: rows)
        let columns = Matrix(uninitialized: k.rows, q.rows)
        for i in 0..<q.rows {
            for j in 0..<k.rows { columns[j, i] = rows[i, j] }
        }
        ck_softmax_rows(rows.base, rows.rows, rows.columns, rows.stride, scale)
        ck_softmax_rows(columns.base, columns.rows, columns.columns, columns.stride, scale)
        return (rows, columns)
    }

    /// z_i = sum_j softmax(A)_ij V_j and g_j = sum_i softmax(A^T)_ji S_i.
    ///
    /// - Parameters:
    ///   - values: V (m, d), the teacher's states in the student's space.
    ///   - studentValues: S (n, D), the student's states in the teacher's space.
    /// - Returns: z (n, d) and g (m, D).
    func forward(
        values: Matrix,
        studentValues: Matrix
    ) -> (toStudent: Matrix, toTeacher: Matrix) {
        let z = Matrix(uninitialized: queries.rows, values.columns)
        let g = Matrix(uninitialized: keys.rows, studentValues.columns)
        for example in 0..<(queryOffsets.count - 1) {
            let (rows, columns) = probabilities(example: example)
            multiply(
                rows,
                slice(values, keyOffsets, example),
                into: slice(z, queryOffsets, example)
            )
            multiply(
                columns,
                slice(studentValues, queryOffsets, example),
                into: slice(g, keyOffsets, example)
            )
        }
        return (z, g)
    }

    /// Gradients of queries (n, k), V (m, d) and S (n, D), given those of z (n, d) and g (m, D).
    func backward(
        values: Matrix,
        studentValues: Matrix,
        dToStudent: Matrix,
        dToTeacher: Matrix
    ) -> (queries: Matrix, values: Matrix, studentValues: Matrix) {
        let dQueries = Matrix(uninitialized: queries.rows, queries.columns)
        let dValues = Matrix(uninitialized: values.rows, values.columns)
        let dStudent = Matrix(uninitialized: studentValues.rows, studentValues.columns)
        for example in 0..<(queryOffsets.count - 1) {
            let (rows, columns) = probabilities(example: example)
            let dZ = slice(dToStudent, queryOffsets, example)
            let dG = slice(dToTeacher, keyOffsets, example)
            multiply(rows, transposeA: true, dZ, into: slice(dValues, keyOffsets, example))
            multiply(columns, transposeA: true, dG, into: slice(dStudent, queryOffsets, example))
            let dRows = Matrix(uninitialized: rows.rows, rows.columns)
            multiply(dZ, slice(values, keyOffsets, example), transposeB: true, into: dRows)
            ck_softmax_rows_backward(rows.base, dRows.base, rows.rows, rows.columns, rows.stride)
            let dColumns = Matrix(uninitialized: columns.rows, columns.columns)
            multiply(
                dG,
                slice(studentValues, queryOffsets, example),
                transposeB: true,
                into: dColumns
            )
            ck_softmax_rows_backward(
                columns.base,
                dColumns.base,
                columns.rows,
                columns.columns,
                columns.stride
            )
            for i in 0..<rows.rows {
                for j in 0..<rows.columns { dRows[i, j] += dColumns[j, i] }
            }
            multiply(
                dRows,
                slice(keys, keyOffsets, example),
                into: slice(dQueries, queryOffsets, example),
                alpha: scale
            )
        }
        return (dQueries, dValues, dStudent)
    }

    private func slice(_ matrix: Matrix, _ offsets: [Int], _ example: Int) -> Matrix {
        matrix.slice(rows: offsets[example]..<offsets[example + 1])
    }
}

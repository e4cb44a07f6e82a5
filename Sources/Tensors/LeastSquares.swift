/// The solutions X of A X = B that come closest, for one A (rows, k) with many rows, in float64.
///
/// By the eigenvalues of A^T A: where A's columns depend on each other, X is the smallest of the
/// solutions, as with a pseudo-inverse. Singular values below a millionth of the largest count as zero.
public struct LeastSquares {
    private let a: Matrix
    /// (A^T A)^+, (k, k).
    private let inverse: [Double]

    /// Eigenvalues of A^T A below this share of the largest count as zero.
    private static let smallest = 1e-12
    /// Rows that are turned into float64 at a time.
    private static let block = 1_024

    /// - Parameter a: (rows, k); read again by the other calls.
    /// - Returns: Nil where A is not finite.
    ///
    /// - Complexity: O(rows k^2 + k^3).
    public init?(_ a: Matrix) {
        self.a = a
        let k = a.columns
        var gram = [Double](repeating: 0, count: k * k)
        for rows in Self.blocks(of: a.rows) {
            let part = Self.doubles(a, rows)
            addDoubleProduct(
                part,
                transposeA: true,
                part,
                into: &gram,
                m: k,
                n: k,
                k: rows.count
            )
        }
        guard gram.allSatisfy(\.isFinite), let values = symmetricEigenvalues(&gram, k) else {
            return nil
        }
        let least = (values.last ?? 0) * Self.smallest
        var scaled = gram
        for (row, value) in values.enumerated() {
            let factor = value > least ? 1 / value : 0
            for column in 0..<k { scaled[row * k + column] *= factor }
        }
        var inverse = [Double](repeating: 0, count: k * k)
        addDoubleProduct(gram, transposeA: true, scaled, into: &inverse, m: k, n: k, k: k)
        self.inverse = inverse
    }

    /// X (k, n) with the least ||A X - B||, B (rows, n).
    public func solve(_ b: Matrix) -> Matrix {
        precondition(b.rows == a.rows, "\(a.rows) rows and \(b.rows)")
        let (k, n) = (a.columns, b.columns)
        var product = [Double](repeating: 0, count: k * n)
        for rows in Self.blocks(of: a.rows) {
            addDoubleProduct(
                Self.doubles(a, rows),
                transposeA: true,
                Self.doubles(b, rows),
                into: &product,
                m: k,
                n: n,
                k: rows.count
            )
        }
        var result = [Double](repeating: 0, count: k * n)
        addDoubleProduct(inverse, transposeA: false, product, into: &result, m: k, n: n, k: k)
        return Matrix(result.map { Float($0) }, rows: k, columns: n)
    }

    /// The pseudo-inverse of A, transposed: A (A^T A)^+, (rows, k).
    ///
    /// X is its transpose times B.
    public func transposedPseudoInverse() -> Matrix {
        let (result, k) = (Matrix(uninitialized: a.rows, a.columns), a.columns)
        for rows in Self.blocks(of: a.rows) {
            var product = [Double](repeating: 0, count: rows.count * k)
            addDoubleProduct(
                Self.doubles(a, rows),
                transposeA: false,
                inverse,
                into: &product,
                m: rows.count,
                n: k,
                k: k
            )
            for (index, row) in rows.enumerated() {
                for column in 0..<k {
                    result.row(row)[column] = Float(product[index * k + column])
                }
            }
        }
        return result
    }

    private static func blocks(of rows: Int) -> [Range<Int>] {
        stride(from: 0, to: rows, by: block).map { $0..<min($0 + block, rows) }
    }

    private static func doubles(_ matrix: Matrix, _ rows: Range<Int>) -> [Double] {
        matrix.slice(rows: rows).values.map { Double($0) }
    }
}

import Tensors

/// How differently two models arrange the tokens of one text.
///
/// Source: Zhang et al., "Dual-Space Knowledge Distillation" (2024), the figure of representation similarity, as
/// its authors' script computes it.
struct StructureDistance {
    /// The mean over pairs of tokens of |cos(s_i, s_j) - cos(t_i, t_j)|.
    let cosine: Double
    /// The mean over tokens i of sum_j |a_ij - b_ij|, where a and b are the matrices of inner products, each row
    /// divided by its sum.
    let innerProduct: Double

    /// - Parameters:
    ///   - student: (k, d), the states at positions before which both have read the same text.
    ///   - teacher: (k, D), those of the teacher there. k is above 0.
    init(student: Matrix, teacher: Matrix) {
        let (s, t) = (Self.products(student), Self.products(teacher))
        let count = s.rows
        var sums = (cosine: 0.0, inner: 0.0)
        for i in 0..<count {
            let rows = (Self.sum(s, i), Self.sum(t, i))
            for j in 0..<count {
                sums.cosine += abs(Self.cosine(s, i, j) - Self.cosine(t, i, j))
                sums.inner += abs(Double(s[i, j]) / rows.0 - Double(t[i, j]) / rows.1)
            }
        }
        cosine = sums.cosine / Double(count * count)
        innerProduct = sums.inner / Double(count)
    }

    /// (k, k) inner products of the rows of x (k, d).
    private static func products(_ x: Matrix) -> Matrix {
        let products = Matrix(uninitialized: x.rows, x.rows)
        multiply(x, x, transposeB: true, into: products)
        return products
    }

    private static func sum(_ products: Matrix, _ row: Int) -> Double {
        (0..<products.columns).reduce(0) { $0 + Double(products[row, $1]) }
    }

    private static func cosine(_ products: Matrix, _ i: Int, _ j: Int) -> Double {
        let squares = Double(products[i, i]) * Double(products[j, j])
        return squares > 0 ? Double(products[i, j]) / squares.squareRoot() : 0
    }
}

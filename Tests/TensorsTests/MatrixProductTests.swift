import Tensors
import Testing

@Suite("Matrix products")
struct MatrixProductTests {
    static func random(_ rows: Int, _ columns: Int, _ purpose: String) -> Matrix {
        var random = RandomNumbers(seed: 7, purpose: purpose)
        let matrix = Matrix(uninitialized: rows, columns)
        matrix.fillNormal(deviation: 1, using: &random)
        return matrix
    }

    static func reference(_ a: Matrix, _ b: Matrix, _ transposeA: Bool, _ transposeB: Bool)
        -> [Double]
    {
        let m = transposeA ? a.columns : a.rows
        let k = transposeA ? a.rows : a.columns
        let n = transposeB ? b.rows : b.columns
        return (0..<(m * n)).map { index in
            let (i, j) = (index / n, index % n)
            return (0..<k).reduce(0.0) { sum, l in
                sum + Double(transposeA ? a[l, i] : a[i, l])
                    * Double(transposeB ? b[j, l] : b[l, j])
            }
        }
    }

    @Test("equals the sum of products", arguments: [1, 7, 64, 65], [false, true])
    func product(size: Int, transposed: Bool) {
        let a = Self.random(transposed ? 13 : size, transposed ? size : 13, "a")
        let b = Self.random(transposed ? 9 : 13, transposed ? 13 : 9, "b")
        let c = Matrix(zeros: size, 9)
        multiply(a, transposeA: transposed, b, transposeB: transposed, into: c)
        for (found, expected) in zip(c.values, Self.reference(a, b, transposed, transposed)) {
            #expect(abs(Double(found) - expected) < 1e-4)
        }
    }

    @Test("works on column slices and adds when beta is 1")
    func slices() {
        let wide = Self.random(6, 20, "wide")
        let b = Self.random(5, 4, "b")
        let c = Matrix(zeros: 6, 4)
        c.fill(1)
        multiply(wide.slice(columns: 3..<8), b, into: c, beta: 1)
        let expected = Self.reference(wide.slice(columns: 3..<8).copied(), b, false, false)
        for (found, expected) in zip(c.values, expected) {
            #expect(abs(Double(found) - expected - 1) < 1e-4)
        }
    }

    @Test(
        "packed weights give the product in f32 and, within rounding, in bf16",
        arguments: ComputeType.allCases,
        [1, 5, 255, 256, 300]
    )
    func packed(compute: ComputeType, rows: Int) {
        let x = Self.random(rows, 48, "x")
        let weight = Self.random(33, 48, "w")
        let expected = Self.reference(x, weight, false, true)
        let out = Matrix(zeros: rows, 33)
        out.fill(2)
        let packed = PackedWeights(weight, compute: compute)
        packed.multiply(x, into: out, accumulate: true)
        let other = Matrix(zeros: rows, 33)
        PackedWeights(weight.transposedCopy(), transposed: false, compute: compute)
            .multiply(x, into: other)
        // 48 products of about 1, each factor off by 2^-9 at most.
        let tolerance = compute == .bf16 ? 0.15 : 1e-4
        let (added, plain) = (out.values, other.values)
        let worst = expected.indices.map { index in
            max(
                abs(Double(added[index]) - 2 - expected[index]),
                abs(Double(plain[index]) - expected[index])
            )
        }
        #expect(worst.max() ?? 1 < tolerance)
    }
}

extension Matrix {
    func transposedCopy() -> Matrix {
        let result = Matrix(zeros: columns, rows)
        for r in 0..<rows { for c in 0..<columns { result[c, r] = self[r, c] } }
        return result
    }
}

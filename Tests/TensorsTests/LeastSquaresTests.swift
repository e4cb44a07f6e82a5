import Tensors
import Testing

@Suite("Least squares")
struct LeastSquaresTests {
    private func normal(_ rows: Int, _ columns: Int, _ seed: UInt64) -> Matrix {
        var random = RandomNumbers(seed: seed, purpose: "least squares")
        let matrix = Matrix(uninitialized: rows, columns)
        matrix.fillNormal(deviation: 1, using: &random)
        return matrix
    }

    @Test("what is left over is at right angles to every column of A")
    func residual() throws {
        // More rows than one block holds.
        let (a, b) = (normal(2_500, 7, 1), normal(2_500, 3, 2))
        let x = try #require(LeastSquares(a)).solve(b)
        for column in 0..<3 {
            for k in 0..<7 {
                var dot = 0.0
                for row in 0..<a.rows {
                    var left = Double(b[row, column])
                    for j in 0..<7 { left -= Double(a[row, j]) * Double(x[j, column]) }
                    dot += Double(a[row, k]) * left
                }
                #expect(abs(dot) < 1e-3)
            }
        }
    }

    @Test("a product that can be undone is undone")
    func exact() throws {
        let (a, x) = (normal(40, 6, 3), normal(6, 4, 4))
        let b = Matrix(zeros: 40, 4)
        multiply(a, x, into: b)
        let solver = try #require(LeastSquares(a))
        let direct = solver.solve(b)
        let pseudo = Matrix(zeros: 6, 4)
        multiply(solver.transposedPseudoInverse(), transposeA: true, b, into: pseudo)
        for (want, (one, other)) in zip(x.values, zip(direct.values, pseudo.values)) {
            #expect(abs(want - one) < 1e-5 && abs(want - other) < 1e-5)
        }
    }

    @Test("columns that depend on each other give the smallest solution")
    func rankDeficient() throws {
        let one = normal(30, 1, 5)
        let a = Matrix(zeros: 30, 2)
        for row in 0..<30 { (a[row, 0], a[row, 1]) = (one[row, 0], one[row, 0]) }
        let x = try #require(LeastSquares(a)).solve(one)
        #expect(abs(x[0, 0] - 0.5) < 1e-5 && abs(x[1, 0] - 0.5) < 1e-5)
    }

    @Test("numbers that are not finite have no solution")
    func notFinite() {
        let a = normal(5, 2, 6)
        a[3, 1] = .nan
        #expect(LeastSquares(a) == nil)
    }
}

import Tensors
import Testing

@Suite("The three products of a weight")
struct WeightProductsTests {
    typealias Products = MatrixProductTests

    /// The largest difference between a matrix and what it should be.
    static func worst(_ found: Matrix, _ expected: [Double], plus: Double = 0) -> Double {
        zip(found.copied().values, expected).map { abs(Double($0) - $1 - plus) }.max() ?? 0
    }

    /// A view of columns of a wider matrix, with the same numbers.
    static func withGaps(_ matrix: Matrix) -> Matrix {
        let wide = Matrix(zeros: matrix.rows, matrix.columns + 5)
        let view = wide.slice(columns: 2..<(matrix.columns + 2))
        view.assign(matrix)
        return view
    }

    /// Sums of `count` products of about 1, rarely 12, each factor off by 2^-9 at most in bfloat16.
    static func tolerance(_ compute: ComputeType, _ count: Int) -> Double {
        let root = Double(count).squareRoot()
        return compute.available == .bf16 ? 0.05 + 0.01 * root : 2e-5 * root
    }

    @Test(
        "equal the sums of products, with and without gaps between rows",
        arguments: ComputeType.allCases,
        [1, 5, 32, 77, 161],
    )
    func products(compute: ComputeType, rows: Int) {
        let (outputs, inputs) = (131, 67)
        let weight = Products.random(outputs, inputs, "w")
        let x = Products.random(rows, inputs, "x")
        let dOut = Products.random(rows, outputs, "dOut")
        let (y, dX, gradient) = (
            Products.reference(x, weight, false, true),
            Products.reference(dOut, weight, false, false),
            Products.reference(dOut, x, true, false)
        )
        let products = WeightProducts(weight, compute: compute)
        for hasGaps in [false, true] {
            func made(_ matrix: Matrix) -> Matrix {
                hasGaps ? Self.withGaps(matrix) : matrix.copied()
            }
            let out = made(Matrix(zeros: rows, outputs))
            products.multiply(made(x), into: out)
            #expect(Self.worst(out, y) < Self.tolerance(compute, inputs))

            let foundX = made(Matrix(zeros: rows, inputs))
            let sum = made(Matrix(zeros: outputs, inputs))
            sum.fill(3)
            products.multiplyBack(made(dOut), x: made(x), dX: foundX, gradient: sum)
            #expect(Self.worst(foundX, dX) < Self.tolerance(compute, outputs))
            #expect(Self.worst(sum, gradient, plus: 3) < Self.tolerance(compute, rows))

            // Each alone, and the gradient with gaps where the gradient by the product has none.
            let alone = Self.withGaps(Matrix(zeros: outputs, inputs))
            products.multiplyBack(dOut.copied(), x: x, dX: nil, gradient: alone)
            #expect(Self.worst(alone, gradient) < Self.tolerance(compute, rows))
            let aloneX = Self.withGaps(Matrix(zeros: rows, inputs))
            products.multiplyBack(dOut.copied(), x: x, dX: aloneX, gradient: nil)
            #expect(Self.worst(aloneX, dX) < Self.tolerance(compute, outputs))
        }
    }

    @Test("a weight with gaps between its rows is multiplied in float32")
    func weightWithGaps() {
        let weight = Products.random(40, 30, "w")
        let (x, dOut) = (Products.random(9, 30, "x"), Products.random(9, 40, "dOut"))
        let kept = dOut.copied()
        let products = WeightProducts(Self.withGaps(weight), compute: .bf16)
        let (out, dX) = (Matrix(zeros: 9, 40), Matrix(zeros: 9, 30))
        products.multiply(x, into: out)
        products.multiplyBack(dOut, x: x, dX: dX, gradient: nil)
        #expect(Self.worst(out, Products.reference(x, weight, false, true)) < 1e-4)
        #expect(Self.worst(dX, Products.reference(dOut, weight, false, false)) < 1e-4)
        #expect(dOut.values == kept.values)
    }

    @Test("in bfloat16 the gradient is rounded to the nearest, every number of it")
    func rounding() {
        // Enough for all steps of rounding in place, and threads; the identity keeps the numbers.
        let (rows, size) = (301, 257)
        let identity = Matrix(zeros: size, size)
        for i in 0..<size { identity[i, i] = 1 }
        let dOut = Products.random(rows, size, "dOut")
        let expected = dOut.values.map { value in
            guard ComputeType.hasBF16 else { return value }
            let bits = value.bitPattern
            return Float(bitPattern: (bits + 0x7FFF + (bits >> 16) & 1) & 0xFFFF_0000)
        }
        let dX = Matrix(zeros: rows, size)
        let products = WeightProducts(identity, compute: .bf16)
        products.multiplyBack(dOut, x: Matrix(zeros: rows, size), dX: dX, gradient: nil)
        #expect(dX.values == expected)
    }

    @Test(
        "changed numbers count from `refresh` on in every direction",
        arguments: ComputeType.allCases
    )
    func refresh(compute: ComputeType) {
        let weight = Products.random(50, 20, "w")
        let (x, dOut) = (Products.random(6, 20, "x"), Products.random(6, 50, "dOut"))
        let products = WeightProducts(weight, compute: compute)
        let (out, dX) = (Matrix(zeros: 6, 50), Matrix(zeros: 6, 20))
        for round in 0..<3 {
            products.multiply(x, into: out)
            products.multiplyBack(dOut.copied(), x: x, dX: dX, gradient: nil)
            let (y, back) = (
                Products.reference(x, weight, false, true),
                Products.reference(dOut, weight, false, false)
            )
            #expect(Self.worst(out, y) < Self.tolerance(compute, 20))
            #expect(Self.worst(dX, back) < Self.tolerance(compute, 50))
            weight.assign(Products.random(50, 20, "w\(round)"))
            products.refresh()
        }
    }

    @Test("rows cut into pieces, and threads that work alone, change rounding only")
    func pieces() {
        for compute in ComputeType.allCases {
            let weight = Products.random(300, 64, "w")
            let (x, dOut) = (Products.random(90, 64, "x"), Products.random(90, 300, "dOut"))
            let products = WeightProducts(weight, compute: compute)
            func results(_ step: Int) -> [[Float]] {
                let (out, dX) = (Matrix(zeros: 90, 300), Matrix(zeros: 90, 64))
                let (gradient, dOut) = (Matrix(zeros: 300, 64), dOut.copied())
                for start in stride(from: 0, to: 90, by: step) {
                    let rows = start..<min(90, start + step)
                    products.multiply(x.slice(rows: rows), into: out.slice(rows: rows))
                    products.multiplyBack(
                        dOut.slice(rows: rows),
                        x: x.slice(rows: rows),
                        dX: dX.slice(rows: rows),
                        gradient: gradient
                    )
                }
                return [out.values, dX.values, gradient.values]
            }
            let whole = results(90)
            var others = [7, 1, 32].map(results)
            nonisolated(unsafe) var alone: [[Float]] = []
            nonisolated(unsafe) let run = results
            parallelStreams(1) { _ in alone = run(45) }
            others.append(alone)
            for other in others {
                let worst = zip(whole.joined(), other.joined()).map { abs($0 - $1) }.max() ?? 1
                #expect(worst < 1e-4, "\(compute)")
            }
        }
    }

    @Test("no rows, and no outputs, are no work", arguments: ComputeType.allCases)
    func nothing(compute: ComputeType) {
        let gradient = Matrix(zeros: 4, 3)
        let products = WeightProducts(Products.random(4, 3, "w"), compute: compute)
        let (noX, noOut) = (Matrix(zeros: 0, 3), Matrix(zeros: 0, 4))
        products.multiply(noX, into: noOut)
        products.multiplyBack(noOut, x: noX, dX: Matrix(zeros: 0, 3), gradient: gradient)
        #expect(gradient.values.allSatisfy { $0 == 0 })
        let empty = WeightProducts(Matrix(zeros: 0, 3), compute: compute)
        let (x, dX) = (Products.random(2, 3, "x"), Products.random(2, 3, "dX"))
        empty.multiply(x, into: Matrix(zeros: 2, 0))
        empty.multiplyBack(
            Matrix(zeros: 2, 0),
            x: x,
            dX: dX,
            gradient: Matrix(zeros: 0, 3)
        )
        #expect(dX.values.allSatisfy { $0 == 0 })
    }
}

import Foundation
import Tensors
import Testing

@testable import Distill

@Suite("Similarity of representations")
struct SimilarityTests {
    private struct Case: Decodable {
        let student: [[Float]], teacher: [[Float]]
        let cosine: Double, inner: Double
        let cka: Double?
    }

    private func cases() throws -> [Case] {
        let url = try #require(
            Bundle.module.url(
                forResource: "similarity",
                withExtension: "json",
                subdirectory: "Fixtures"
            )
        )
        return try JSONDecoder().decode([Case].self, from: Data(contentsOf: url))
    }

    private func matrix(_ rows: [[Float]]) -> Matrix {
        Matrix(rows.flatMap { $0 }, rows: rows.count, columns: rows[0].count)
    }

    @Test("distances and alignment are those of numpy in float64")
    func goldens() throws {
        for one in try cases() {
            let (s, t) = (matrix(one.student), matrix(one.teacher))
            let distance = StructureDistance(student: s, teacher: t)
            #expect(abs(distance.cosine - one.cosine) < 1e-6)
            // Row sums near 0 make large numbers.
            #expect(abs(distance.innerProduct - one.inner) < 1e-4 * max(1, one.inner))
            var cka = LinearCKA()
            // In two parts, as batches come.
            let half = s.rows / 2
            cka.add(s.slice(rows: 0..<half), t.slice(rows: 0..<half))
            cka.add(s.slice(rows: half..<s.rows), t.slice(rows: half..<t.rows))
            guard let want = one.cka else {
                #expect(cka.value == nil)
                continue
            }
            #expect(abs((cka.value ?? 0) - want) < 1e-5, "\(want)")
        }
    }

    @Test("a turned and scaled copy is the same")
    func turned() throws {
        let one = try #require(try cases().last)
        let s = matrix(one.student)
        let turned = Matrix(uninitialized: s.rows, s.columns)
        for row in 0..<s.rows {
            for column in 0..<s.columns {
                turned[row, column] = (column % 2 == 0 ? -3 : 3) * s[row, s.columns - 1 - column]
            }
        }
        let distance = StructureDistance(student: s, teacher: turned)
        #expect(distance.cosine < 1e-6 && distance.innerProduct < 1e-4)
        var cka = LinearCKA()
        cka.add(s, turned)
        #expect(abs((cka.value ?? 0) - 1) < 1e-6)
        #expect(LinearCKA().value == nil)
    }
}

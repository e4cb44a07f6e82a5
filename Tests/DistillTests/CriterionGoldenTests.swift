import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("Criteria against float64 PyTorch")
struct CriterionGoldenTests {
    static let criteria = CriterionRegistry.names

    /// What single precision may differ by: PyTorch's own is within 2e-6 and 2e-6 of float64 here.
    static let lossTolerance = 1e-5, gradientTolerance = 1e-4

    @Test("there are cases of every criterion, two hundred at least")
    func count() {
        #expect(Golden.all.count >= 200)
        #expect(Set(Golden.all.map(\.criterion)) == Set(Self.criteria))
    }

    @Test("losses and gradients are the golden ones", arguments: criteria)
    func golden(criterion: String) throws {
        for golden in Golden.all where golden.criterion == criterion {
            try compare(golden)
        }
    }

    private func compare(_ golden: Golden) throws {
        let test = try Case(golden)
        if let t2s = try? golden.numbers("info/t2s") {
            let got = try required(test.criterion.projectors[0].weight).value.values
            expect(got, t2s, 1e-4, "\(golden): initial t2s")
        }
        let (sums, gradients) = try test.gradients()
        #expect(Set(golden.known("loss")).isSubset(of: sums.values.keys), "\(golden)")
        for part in golden.known("loss") {
            let want = try required(golden.numbers("loss/\(part)").first)
            let got = try required(sums.means[part])
            let isClose = abs(got - want) <= Self.lossTolerance * max(1e-4, abs(want))
            #expect(isClose, "\(golden): \(part) is \(got), not \(want)")
        }
        if let gate = try? golden.numbers("info/gate") {
            #expect(sums.values["t2s_gate"] == gate.reduce(0, +), "\(golden)")
        }
        let known = golden.known("grad")
        #expect(known.contains("student/hidden") && known.contains("student/head"))
        for key in known {
            let got = try required(gradients[key], "\(golden): no gradient of \(key)")
            expect(
                got,
                try golden.numbers("grad/\(key)"),
                Self.gradientTolerance,
                "\(golden): \(key)"
            )
        }
    }

    /// Within a share of the norm.
    private func expect(_ got: [Float], _ want: [Double], _ tolerance: Double, _ what: String) {
        #expect(got.count == want.count, "\(what)")
        let gap = zip(got, want).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
        let size = want.reduce(0.0) { $0 + $1 * $1 }.squareRoot()
        #expect(gap.squareRoot() <= tolerance * max(size, 1e-4), "\(what)")
    }

    @Test("a small memory limit cuts rows into chunks and changes nothing but rounding")
    func chunks() throws {
        for name in Self.criteria {
            let test = try Case(try required(Golden.all.first { $0.criterion == name }))
            let whole = try test.gradients()
            test.engine = HeadLoss(memoryLimit: 400)
            let cut = try test.gradients()
            for (part, value) in whole.sums.values {
                #expect(abs(value - (cut.sums.values[part] ?? .nan)) < 1e-5, "\(name)")
            }
            for (key, gradient) in whole.gradients {
                for (a, b) in zip(gradient, cut.gradients[key] ?? []) {
                    #expect(abs(a - b) < 1e-6, "\(name)")
                }
            }
        }
    }

    @Test("same-vocabulary DSKD gives METHOD.md's numbers")
    func methodNumbers() throws {
        func g(_ rows: Int, _ columns: Int, _ phase: Double, _ scale: Double = 1) -> Matrix {
            let matrix = Matrix(uninitialized: rows, columns)
            for i in 0..<rows {
                for j in 0..<columns {
                    matrix[i, j] = Float(scale * sin(0.9 * Double(i) + 1.7 * Double(j) + phase))
                }
            }
            return matrix
        }
        let criterion = try DualSpace(
            CriterionContext(
                settings: CriterionSettings(),
                sizes: CriterionSizes(student: 3, teacher: 4),
                seed: 0
            )
        )
        for parameter in criterion.projectors.flatMap(\.parameters) { parameter.value.fill(0) }
        criterion.toStudent.weight?.value.assign(g(3, 4, 0.7, 0.5))
        criterion.toTeacher.weight?.value.assign(g(4, 3, 0.8, 0.5))
        func rows(_ hidden: Matrix) -> SupervisedRows {
            SupervisedRows(
                hidden: hidden.slice(rows: 1..<4),
                inputs: [0, 0, 0],
                labels: [2, 4, 1],
                offsets: [0, 3]
            )
        }
        let test = try Case(
            criterion: criterion,
            batch: CriterionBatch(student: rows(g(4, 3, 0.5)), teacher: rows(g(4, 4, 0.6, 2))),
            head: g(5, 3, 0.3),
            studentEmbedding: g(5, 3, 0.3),
            teacherHead: g(5, 4, 0.4),
            teacherEmbedding: g(5, 4, 0.4)
        )
        let sums = try test.gradients().sums
        let want = ["ce": 6.701340, "t2s_ce": 8.770360, "t2s_kd": 1.001727, "s2t_kd": 1.073065]
        for (name, value) in want {
            #expect(abs((sums.values[name] ?? 0) - value) < 5e-6, "\(name)")
        }
        #expect(abs((sums.means["total"] ?? 0) - 2.924416) < 2e-6)
    }
}

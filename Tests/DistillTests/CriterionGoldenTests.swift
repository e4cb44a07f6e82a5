import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("Criteria against float64 PyTorch")
struct CriterionGoldenTests {
    static let names =
        ["sft"] + Divergence.allCases.map { "kd-\($0.rawValue)" }
        + Divergence.allCases.map { "dskd-\($0.rawValue)" }
        + [
            "dskd_cma-forward_kl", "dskd_cma-adaptive_kl", "dskd_cma-reverse_kl-settings",
            "kd-forward_kl-caps", "dskd-forward_kl-caps", "dskd_cma-forward_kl-caps",
        ]

    @Test("losses and gradients are the golden ones", arguments: names)
    func golden(name: String) throws {
        let golden = try Golden(name)
        let test = try Case(golden)
        let (sums, gradients) = try test.gradients()
        for part in ["ce", "t2s_ce", "t2s_kd", "s2t_kd", "kd", "total"]
        where golden.has("loss/\(part)") {
            let want = try golden.number("loss/\(part)")
            let got = try required(sums.means[part])
            #expect(abs(got - want) < 2e-6 * max(1, abs(want)), "\(part): \(got), not \(want)")
        }
        if golden.has("info/gate") {
            let open = try golden.numbers("info/gate").reduce(0, +)
            #expect(sums.values["t2s_gate"] == open)
        }
        for (key, got) in gradients where golden.has("grad/\(key)") {
            let want = try golden.numbers("grad/\(key)")
            let size = want.map(abs).max() ?? 0
            #expect(got.count == want.count)
            for (g, w) in zip(got, want) {
                #expect(abs(Double(g) - w) < 1e-5 * max(size, 0.01), "\(key): \(g), not \(w)")
            }
        }
    }

    @Test("a small memory limit cuts rows into chunks and changes nothing but rounding")
    func chunks() throws {
        let test = try Case(try Golden("dskd_cma-forward_kl"))
        let whole = try test.gradients()
        test.engine = HeadLoss(memoryLimit: 400)
        let cut = try test.gradients()
        for (name, value) in whole.sums.values {
            #expect(abs(value - (cut.sums.values[name] ?? .nan)) < 1e-5)
        }
        for (name, gradient) in whole.gradients {
            for (a, b) in zip(gradient, cut.gradients[name] ?? []) { #expect(abs(a - b) < 1e-6) }
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
        let criterion = DualSpace(
            settings: CriterionSettings(),
            sizes: CriterionSizes(student: 3, teacher: 4),
            seed: 0
        )
        criterion.toStudent.weight.value.assign(g(3, 4, 0.7, 0.5))
        criterion.toTeacher.weight.value.assign(g(4, 3, 0.8, 0.5))
        criterion.toStudent.bias.value.fill(0)
        criterion.toTeacher.bias.value.fill(0)
        func rows(_ hidden: Matrix) -> SupervisedRows {
            SupervisedRows(
                hidden: hidden.slice(rows: 1..<4),
                inputs: [0, 0, 0],
                labels: [2, 4, 1],
                offsets: [0, 3]
            )
        }
        let test = Case(
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

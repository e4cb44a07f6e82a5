import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("Soft-capped logits in criteria")
struct SoftCapTests {
    /// Of the two models; logits have a standard deviation of about 2.
    struct Caps: Sendable, CustomTestStringConvertible {
        var student: Float?, teacher: Float?
        var testDescription: String {
            "\(student.map { "\($0)" } ?? "none") and \(teacher.map { "\($0)" } ?? "none")"
        }

        func makeCase(_ name: String, _ divergence: Divergence = .forwardKL) throws -> Case {
            try CriterionPropertyTests.makeCase(
                name,
                divergence: divergence,
                studentCap: student,
                teacherCap: teacher
            )
        }
    }

    static let all = [
        Caps(student: 2), Caps(teacher: 1.5), Caps(student: 1.5, teacher: 2.5),
    ]

    @Test(
        "the gradient by the student's states is the slope of the loss",
        arguments: CriterionPropertyTests.learning,
        all
    )
    func hiddenGradient(criterion: (String, Divergence), caps: Caps) throws {
        let test = try caps.makeCase(criterion.0, criterion.1)
        let gradient = try required(test.gradients().gradients["student/hidden"])
        let (numeric, analytic) = try slope(
            of: { try test.loss() },
            along: test.batch.student.hidden,
            gradient: gradient
        )
        #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)))
    }

    @Test(
        "the gradients of the projectors are slopes of t2s_ce + s2t_kd",
        arguments: ["dskd", "dskd_cma"],
        all
    )
    func projectorGradients(name: String, caps: Caps) throws {
        let test = try caps.makeCase(name)
        let gradients = try test.gradients().gradients
        for parameter in test.criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            let (numeric, analytic) = try slope(
                of: { try 0.5 * (test.loss(part: "t2s_ce") + test.loss(part: "s2t_kd")) },
                along: parameter.value,
                gradient: try required(gradients["projectors/\(key)"])
            )
            #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)), "\(key)")
        }
    }

    @Test("the gradient of the student's head is its slope", arguments: ["sft", "kd"], all)
    func headGradient(name: String, caps: Caps) throws {
        let test = try caps.makeCase(name)
        let gradient = try required(test.gradients().gradients["student/head"])
        let (numeric, analytic) = try slope(
            of: { try test.loss() },
            along: test.head.value,
            gradient: gradient
        )
        #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)))
    }

    @Test(
        "the student's cap bends what its head makes, the teacher's cap what the teacher's makes",
        arguments: ["dskd", "dskd_cma"]
    )
    func spaces(name: String) throws {
        let plain = try Caps().makeCase(name).gradients().sums.values
        let student = try Caps(student: 2).makeCase(name).gradients().sums.values
        let teacher = try Caps(teacher: 2).makeCase(name).gradients().sums.values
        for part in ["ce", "t2s_ce"] {
            #expect(student[part] != plain[part] && teacher[part] == plain[part], "\(part)")
        }
        #expect(student["s2t_kd"] == plain["s2t_kd"] && teacher["s2t_kd"] != plain["s2t_kd"])
    }

    @Test("a head cut to a smaller vocabulary keeps its cap")
    func cutHead() throws {
        let made = try Caps(student: 2, teacher: 1.5).makeCase("kd")
        let whole = made.models.teacherHead
        let part = whole.prefix(7)
        let x = made.batch.teacher.hidden
        let (all, few) = (Matrix(zeros: x.rows, 19), Matrix(zeros: x.rows, 7))
        whole.logits(x, into: all)
        part.logits(x, into: few)
        for row in 0..<x.rows {
            for column in 0..<7 {
                #expect(abs(all[row, column] - few[row, column]) < 1e-6)
                #expect(abs(few[row, column]) <= 1.5)
            }
        }
        #expect(part.vocabulary == 7 && whole.prefix(19) === whole)
    }

    @Test(
        "a cap far above every logit changes nothing",
        arguments: ["sft", "kd", "dskd", "dskd_cma"]
    )
    func highCap(name: String) throws {
        let plain = try Caps().makeCase(name).gradients()
        let high = try Caps(student: 3e3, teacher: 3e3).makeCase(name).gradients()
        for (part, value) in plain.sums.values {
            #expect(abs(value - (high.sums.values[part] ?? .nan)) < 1e-3, "\(part)")
        }
        for (key, gradient) in plain.gradients {
            for (a, b) in zip(gradient, high.gradients[key] ?? []) { #expect(abs(a - b) < 1e-4) }
        }
    }
}

import Foundation
import Testing

@testable import Distill

@Suite("The alignment that CMA learns")
struct AlignmentDumpTests {
    @Test("has a row for each position of either side, with the tokens there")
    func rows() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let trainer = try world.trainer(world.settings())
        var examples: [ExampleAlignment] = []
        try trainer.alignments(limit: 2) { examples.append($0) }
        let heldOut = Set((11..<14).map { String(format: "%032x", $0) })
        #expect(examples.count == 2 && Set(examples.map(\.id)).isSubset(of: heldOut))
        for example in examples {
            let (n, m) = (example.student.labels.count, example.teacher.labels.count)
            // The student's tokenizer merges letters.
            #expect(n < m && example.student.inputs.count == n && example.teacher.inputs.count == m)
            let text = example.teacher.labels.joined()
            #expect(text == example.student.labels.joined() && text.hasSuffix(".<|end|>"))
            #expect(example.teacher.inputs.dropFirst() == example.teacher.labels.dropLast())
            #expect(example.toStudent.count == n && example.toTeacher.count == m)
            for (matrix, width) in [(example.toStudent, m), (example.toTeacher, n)] {
                #expect(
                    matrix.allSatisfy {
                        $0.count == width && $0.allSatisfy { (0...1).contains($0) }
                            && abs($0.reduce(0, +) - 1) < 1e-5 * Double(width)
                    }
                )
            }
            // Drawn projectors look at some positions more than at others.
            #expect(example.toStudent[0].max() ?? 0 > 1.01 / Double(m))
        }
    }

    @Test("belongs to dskd_cma, and needs held-out examples")
    func refused() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var settings = world.settings()
        settings.heldOutSplit = "validation"
        let none = #expect(throws: DistillError.self) {
            try world.trainer(settings).alignments(limit: 1) { _ in }
        }
        #expect(none?.description.contains("split \"validation\"") == true)
        settings = world.settings()
        settings.criterion = "uld"
        let other = #expect(throws: DistillError.self) {
            try world.trainer(settings).alignments(limit: 1) { _ in }
        }
        #expect(other?.description.contains("uld learns no alignment") == true)
    }
}

import Testing

@testable import Distill

@Suite("Where attention looks")
struct AlignmentOverlapTests {
    private func bytes(_ words: [String]) -> [[UInt8]] { words.map { Array($0.utf8) } }

    @Test("counts tokens whose strongest teacher token shares a character")
    func counts() {
        // |ab|c|de|<end>| against |a|bc|d|e|<end>|.
        let overlap = AlignmentOverlap(
            student: bytes(["ab", "c", "de", ""]),
            teacher: bytes(["a", "bc", "d", "e", ""]),
            strongest: [1, 0, 3, 0]
        )
        #expect(overlap.tokens == 3 && overlap.overlapping == 2)
        // Two, one and two of the teacher's five overlap.
        #expect(abs(overlap.chance - (2.0 + 1 + 2) / 5) < 1e-12)
    }

    @Test("leaves out what one side has not, and where texts part")
    func apart() {
        let cut = AlignmentOverlap(
            student: bytes(["ab", "cd", "ef"]),
            teacher: bytes(["abc"]),
            strongest: [0, 0, 0]
        )
        #expect(cut.tokens == 1 && cut.overlapping == 1 && cut.chance == 1)
        let other = AlignmentOverlap(
            student: bytes(["ab", "x"]),
            teacher: bytes(["ab", "c"]),
            strongest: [1, 1]
        )
        #expect(other.tokens == 1 && other.overlapping == 0)
        let none = AlignmentOverlap(student: [], teacher: bytes(["a"]), strongest: [])
        #expect(none == AlignmentOverlap(student: [], teacher: [], strongest: []))
    }

    @Test("an example's own overlap follows from the weights that it has")
    func dumped() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        try world.trainer(world.settings()).alignments(limit: 3) { example in
            let teacher = bytes(example.teacher.labels.dropLast())
            let strongest = example.toStudent.map { row in
                row.indices.max { row[$0] < row[$1] } ?? 0
            }
            let found = AlignmentOverlap(
                student: bytes(example.student.labels.dropLast()) + [[]],
                teacher: teacher + [[]],
                strongest: strongest
            )
            #expect(example.overlap == found)
            #expect(found.tokens == example.student.labels.count - 1)
        }
    }
}

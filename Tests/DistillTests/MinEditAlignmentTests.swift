import Tensors
import Testing
import Tokenizers

@testable import Distill

@Suite("Dynamic time warping and the matches of min_edit")
struct MinEditAlignmentTests {
    /// The least sum over all paths from (0, 0) to (i, j).
    private static func least(_ costs: [UInt32], _ columns: Int, _ i: Int, _ j: Int) -> UInt32 {
        var before: [UInt32] = []
        if i > 0, j > 0 { before.append(least(costs, columns, i - 1, j - 1)) }
        if i > 0 { before.append(least(costs, columns, i - 1, j)) }
        if j > 0 { before.append(least(costs, columns, i, j - 1)) }
        return costs[i * columns + j] + (before.min() ?? 0)
    }

    /// The path followed back from the last cell, by the rule as it stands.
    private static func path(_ costs: [UInt32], _ rows: Int, _ columns: Int) -> [[Int]] {
        var visited = [[Int]](repeating: [], count: rows)
        var (i, j) = (rows - 1, columns - 1)
        while true {
            visited[i].insert(j, at: 0)
            if i == 0, j == 0 { return visited }
            var best: (sum: UInt32, i: Int, j: Int)?
            for (x, y) in [(i - 1, j - 1), (i - 1, j), (i, j - 1)] where x >= 0 && y >= 0 {
                let sum = least(costs, columns, x, y)
                if best == nil || sum < (best?.sum ?? 0) { best = (sum, x, y) }
            }
            (i, j) = (best?.i ?? 0, best?.j ?? 0)
        }
    }

    @Test("the path is the least, and of equals the one that the rule names", arguments: 0..<60)
    func property(seed: Int) {
        var random = RandomNumbers(seed: UInt64(seed), purpose: "warping")
        let (rows, columns) = (
            1 + Int.random(in: 0..<5, using: &random), 1 + Int.random(in: 0..<5, using: &random)
        )
        // Few different costs: ties everywhere.
        let costs = (0..<rows * columns).map { _ in UInt32(Int.random(in: 0..<3, using: &random)) }
        let visited = dynamicTimeWarping(costs: costs, rows: rows, columns: columns)
        #expect(visited == Self.path(costs, rows, columns))
        let sum = visited.enumerated().reduce(UInt32(0)) { sum, row in
            row.element.reduce(sum) { $0 + costs[row.offset * columns + $1] }
        }
        #expect(sum == Self.least(costs, columns, rows - 1, columns - 1))
    }

    private static let student = TokenTexts(
        strings: ["</s>", "▁the", "▁cat", "s", "▁sat", "", "▁cats"],
        endOfSequence: 0
    )
    private static let teacher = TokenTexts(
        strings: ["Ġcats", "the", "Ġthe", "Ġs", "at", "<eos>", "Ġsat", "Ġcat"],
        endOfSequence: 5
    )

    private func matches(_ a: [UInt32], _ b: [UInt32]) -> [Int?] {
        minEditMatches(
            studentInputs: ([9] + a).dropFirst(),
            teacherInputs: ([9, 9] + b).dropFirst(2),
            studentTexts: Self.student,
            teacherTexts: Self.teacher,
            map: nearestTokens(student: Self.student, teacher: Self.teacher)
        )
    }

    @Test("equal texts match, spaces or none")
    func equalTexts() {
        #expect(matches([1, 2, 4, 0], [2, 7, 6, 5]) == [0, 1, 2, 3])
        // "the" is nearest to " the": the only token at distance 1.
        #expect(matches([1, 2], [1, 7]) == [0, 1])
    }

    @Test("a row that meets two of the teacher's, or another's, has none")
    func noMatch() {
        // " sat" meets " s" and "at".
        #expect(matches([1, 4, 0], [2, 3, 4, 5]) == [0, nil, 2 + 1])
        // " cat" and "s" both meet " cats", whose nearest is " cats".
        #expect(matches([1, 2, 3, 0], [2, 0, 5]) == [0, nil, nil, 2])
        // " cat" meets " sat" alone, which is mapped to " sat".
        #expect(matches([1, 2], [2, 6]) == [0, nil])
        #expect(matches([1, 2], []) == [nil, nil])
        #expect(matches([], [2]) == [])
    }

    @Test("the first of equals: ends cost nothing, and a row without text is like one")
    func ends() {
        #expect(matches([5, 0], [5, 5]) == [nil, 1])
        #expect(matches([0], [5]) == [0])
    }

    @Test("matches are those of the definition", arguments: 0..<40)
    func definition(seed: Int) {
        var random = RandomNumbers(seed: UInt64(seed), purpose: "min edit")
        func texts() -> TokenTexts {
            let strings = (0..<30).map { _ in
                String(
                    (0..<Int.random(in: 0..<5, using: &random)).map { _ in
                        "ab ▁"[Int.random(in: 0..<4, using: &random)]
                    }
                )
            }
            return TokenTexts(strings: strings, endOfSequence: 4)
        }
        let (student, teacher) = (texts(), texts())
        func inputs(_ count: Int) -> [UInt32] {
            (0..<count).map { _ in UInt32(Int.random(in: 0..<30, using: &random)) }
        }
        let (a, b) = (inputs(1 + seed % 6), inputs(1 + seed % 5))
        let map = nearestTokens(student: student, teacher: teacher)
        func spaceless(_ id: UInt32, _ texts: TokenTexts) -> [UInt8] {
            texts.text(of: id).filter { $0 != 0x20 }
        }
        let costs = a.flatMap { x in
            b.map { UInt32(editDistance(spaceless(x, student), spaceless($0, teacher))) }
        }
        let expected = zip(a, Self.path(costs, a.count, b.count)).map { x, visited -> Int? in
            visited.count == 1 && map[Int(b[visited[0]])] == x ? visited[0] : nil
        }
        let got = minEditMatches(
            studentInputs: a[...],
            teacherInputs: b[...],
            studentTexts: student,
            teacherTexts: teacher,
            map: map
        )
        #expect(got == expected)
    }
}

extension String {
    fileprivate subscript(_ index: some BinaryInteger) -> Character {
        self[self.index(startIndex, offsetBy: Int(index))]
    }
}

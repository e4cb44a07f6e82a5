import Tensors
import Testing

@testable import Distill

@Suite("Tokens of the same text in two vocabularies")
struct TokenAlignmentTests {
    /// Aligns two lists of strings; `</s>` ends a sequence, the empty string is a special token.
    private func align(_ student: [String], _ teacher: [String]) -> [[Int]] {
        let (a, b) = (Self.vocabulary(student), Self.vocabulary(teacher))
        // Slices that do not begin at 0: indices count from the start of the slice.
        return tokenAlignment(
            student: ([7] + a.ids).dropFirst(),
            teacher: ([7, 7] + b.ids).dropFirst(2),
            studentTexts: a.texts,
            teacherTexts: b.texts
        ).map { [$0, $1] }
    }

    private static func vocabulary(_ tokens: [String]) -> (ids: [UInt32], texts: TokenTexts) {
        var strings = ["</s>", ""]
        for token in tokens where !strings.contains(token) { strings.append(token) }
        let ids = tokens.map { UInt32(strings.firstIndex(of: $0) ?? 0) }
        return (ids, TokenTexts(strings: strings, endOfSequence: 0))
    }

    @Test("a mark in front of the whole text is no difference, a space within it is")
    func leadingSpace() {
        #expect(align(["▁Hello", "▁you"], ["Hello", "Ġyou"]) == [[0, 0], [1, 1]])
        #expect(align(["▁", "Hello", "you"], ["Hello", "Ġyou"]) == [[1, 0]])
        #expect(align(["▁▁", "▁Hello"], ["Hello"]) == [[1, 0]])
        #expect(align(["Hello", "you"], ["Hello", "Ġyou"]) == [[0, 0]])
    }

    @Test("what is cut otherwise is left out, and what follows it is in")
    func otherCuts() {
        #expect(align(["ab", "c", "d", "</s>"], ["a", "bc", "d", "</s>"]) == [[2, 2], [3, 3]])
        #expect(align(["abc", "d"], ["a", "b", "c", "d"]) == [[1, 3]])
        #expect(align(["a", "b"], ["ab"]) == [])
    }

    @Test("once the texts differ nothing is aligned")
    func divergence() {
        #expect(align(["a", "x", "c", "</s>"], ["a", "y", "c", "</s>"]) == [[0, 0]])
        #expect(align(["a", "</s>"], ["a", "b", "</s>"]) == [[0, 0]])
        #expect(align(["x"], ["xy"]) == [])
    }

    @Test("special tokens are in no pair, ends of the sequence pair in order")
    func tokensWithoutText() {
        #expect(align(["", "a", "", "b"], ["a", "", "b"]) == [[1, 0], [3, 2]])
        #expect(align(["a", "</s>", "</s>"], ["a", "", "</s>"]) == [[0, 0], [1, 2]])
        #expect(align(["a", "</s>", "b"], ["a", "b", "</s>"]) == [[0, 0], [2, 1]])
        #expect(align(["</s>"], ["</s>"]) == [[0, 0]])
        #expect(align([], ["a"]) == [])
    }

    @Test("a character cut into bytes aligns byte for byte, and not with the whole")
    func splitCharacters() {
        let bytes = (0..<256).map { byte in
            let hex = String(byte, radix: 16, uppercase: true)
            return "<0x" + (hex.count == 1 ? "0" : "") + hex + ">"
        }
        let student = TokenTexts(strings: bytes + ["x", "</s>"], endOfSequence: 257)
        let teacher = TokenTexts(strings: ["</s>", "日", "x"], endOfSequence: 0)
        let cut: ArraySlice<UInt32> = [0xE6, 0x97, 0xA5, 256, 257]
        let mixed = tokenAlignment(
            student: cut,
            teacher: [1, 2, 0],
            studentTexts: student,
            teacherTexts: teacher
        )
        #expect(mixed.map { [$0, $1] } == [[3, 1], [4, 2]])
        let same = tokenAlignment(
            student: cut,
            teacher: cut,
            studentTexts: student,
            teacherTexts: student
        )
        #expect(same.map { [$0, $1] } == (0..<5).map { [$0, $0] })
    }

    @Test("pairs are those of the definition", arguments: 0..<300)
    func definition(seed: Int) {
        var random = RandomNumbers(seed: UInt64(seed), purpose: "alignment")
        let alphabet = ["a", "b", "ab", " ", " a", "ba", "", "</s>", "  "]
        func tokens() -> [String] {
            (0..<Int.random(in: 0..<9, using: &random)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }
        }
        let student = tokens()
        // Often the same text, cut otherwise: random lists seldom agree far.
        let teacher =
            seed % 3 == 0 ? tokens() : student.flatMap { $0 == "ab" ? ["a", "b"] : [$0] }
        #expect(align(student, teacher) == Self.defined(student, teacher), "\(student) \(teacher)")
    }

    /// Every pair that fulfils the definition, one by one; of several ends at one place the k-th of each.
    private static func defined(_ student: [String], _ teacher: [String]) -> [[Int]] {
        struct Label: Equatable { var before: String, own: String, endsBefore: Int }
        func labels(_ tokens: [String]) -> [Label?] {
            var text = ""
            var ends = 0
            return tokens.map { token in
                if token == "</s>" {
                    ends += 1
                    return Label(before: text, own: token, endsBefore: ends)
                }
                let own = text.isEmpty ? String(token.drop { $0 == " " }) : token
                defer { text += own }
                if own.isEmpty { return nil }
                ends = 0
                return Label(before: text, own: own, endsBefore: 0)
            }
        }
        let (a, b) = (labels(student), labels(teacher))
        var pairs: [[Int]] = []
        for i in a.indices {
            for j in b.indices where a[i] != nil && a[i] == b[j] { pairs.append([i, j]) }
        }
        return pairs
    }
}

@Suite("Shared tokens")
struct SharedTokensTests {
    @Test("equal texts pair with the first of the other side, ends with ends")
    func firstOfEqualText() {
        let student = TokenTexts(
            strings: ["▁a", "b", "Ġa", "", "</s>", "only", "b"],
            endOfSequence: 4
        )
        let teacher = TokenTexts(strings: ["<eos>", "b", "", "Ġa", "▁a", "</s>"], endOfSequence: 0)
        let shared = sharedTokens(student: student, teacher: teacher)
        #expect(
            shared.pairs.map { [$0.student, $0.teacher] } == [
                [0, 3], [1, 1], [2, 3], [4, 0], [6, 1],
            ]
        )
        // The teacher's `</s>` is a text here, and the student's has none.
        #expect(shared.toStudent == [4, 1, nil, 0, 0, nil])
    }

    @Test("without an end on one side, ends are not shared")
    func noEnd() {
        let ended = TokenTexts(strings: ["a", "</s>"], endOfSequence: 1)
        let endless = TokenTexts(strings: ["</s>", "a"], endOfSequence: nil)
        let shared = sharedTokens(student: ended, teacher: endless)
        #expect(shared.pairs.map { [$0.student, $0.teacher] } == [[0, 1]])
        #expect(shared.toStudent == [nil, 0])
        #expect(sharedTokens(student: endless, teacher: ended).toStudent == [1, nil])
    }

    @Test("a byte's token gives way to the token proper, and stands in where there is none")
    func spelledBytes() {
        let bytes = (0..<256).map { byte in
            let hex = String(byte, radix: 16, uppercase: true)
            return "<0x" + (hex.count == 1 ? "0" : "") + hex + ">"
        }
        let llama = TokenTexts(strings: bytes + ["A"], endOfSequence: nil)
        let other = TokenTexts(strings: ["A", "\n"], endOfSequence: nil)
        let shared = sharedTokens(student: llama, teacher: other)
        #expect(shared.pairs.map { [$0.student, $0.teacher] } == [[10, 1], [256, 0]])
        #expect(shared.toStudent == [256, 10])
        let back = sharedTokens(student: other, teacher: llama)
        #expect(back.pairs.map { [$0.student, $0.teacher] } == [[0, 256], [1, 10]])
        #expect(back.toStudent[0x41] == 0 && back.toStudent[256] == 0)
        #expect(nearestTokens(student: llama, teacher: other) == [256, 10])
    }
}

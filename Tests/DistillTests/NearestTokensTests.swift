import CKernels
import Tensors
import Testing
import Tokenizers

@testable import Distill

@Suite("Edit distance")
struct EditDistanceTests {
    @Test(
        "kernel and table agree, about one word of 64 bytes and beyond",
        arguments: [(1, 1), (7, 9), (63, 65), (64, 64), (65, 63), (64, 130), (130, 64), (90, 77)]
    )
    func kernel(lengths: (Int, Int)) {
        var random = RandomNumbers(seed: 5, purpose: "edit distance")
        func text(_ length: Int) -> [UInt8] {
            // Signed and unsigned bytes, few of them, so that many match.
            (0..<length).map { _ in [0, 97, 98, 255][Int.random(in: 0..<4, using: &random)] }
        }
        var scratch = EditScratch(longest: 200)
        for _ in 0..<20 {
            let (a, b) = (text(lengths.0), text(lengths.1))
            let others = [b, [], a, Array(b.dropFirst()), Array(a.reversed())]
            var out = [UInt32](repeating: 0, count: others.count)
            var offsets: [UInt32] = [0]
            for other in others { offsets.append(offsets[offsets.count - 1] + UInt32(other.count)) }
            ck_edit_distances(
                a,
                a.count,
                Array(others.joined()),
                offsets,
                others.count,
                &scratch.masks,
                &scratch.row,
                &out
            )
            #expect(out == others.map { UInt32(editDistance(a, $0)) })
            #expect(scratch.masks.allSatisfy { $0 == 0 })
        }
    }
}

@Suite("Nearest tokens")
struct NearestTokensTests {
    /// What `nearestTokens` is to give, by trying every token.
    private static func bruteForce(student: TokenTexts, teacher: TokenTexts) -> [UInt32] {
        let candidates = (0..<UInt32(student.count)).filter { student.hasText($0) }
        func nearest(_ text: [UInt8]) -> UInt32 {
            var best = (distance: Int.max, id: UInt32(0))
            for id in candidates {
                let distance = editDistance(text, Array(student.text(of: id)))
                if distance < best.distance { best = (distance, id) }
            }
            return best.id
        }
        return (0..<UInt32(teacher.count)).map { id in
            guard teacher.hasText(id) else { return student.endOfSequence ?? nearest([]) }
            return nearest(Array(teacher.text(of: id)))
        }
    }

    struct Kind: Sendable, CustomTestStringConvertible {
        var alphabet: String
        var longest: Int
        var tokens: Int
        var testDescription: String { "\(tokens) of up to \(longest) from \(alphabet)" }
    }

    @Test(
        "it is what trying every token gives, ties too",
        arguments: [
            Kind(alphabet: "ab", longest: 5, tokens: 12),
            Kind(alphabet: "ab ", longest: 9, tokens: 60),
            Kind(alphabet: "abcdefghijklm", longest: 8, tokens: 90),
            Kind(alphabet: "aé日", longest: 7, tokens: 40),
            Kind(alphabet: "ab", longest: 100, tokens: 20),
            Kind(alphabet: "abcdefghijklmnopqrstuvwxyzABCDEFGH0123", longest: 90, tokens: 20),
        ],
        0..<4
    )
    func property(kind: Kind, seed: Int) {
        var random = RandomNumbers(seed: UInt64(seed), purpose: "nearest tokens")
        let letters = Array(kind.alphabet)
        func texts(_ count: Int) -> TokenTexts {
            let strings = (0..<count).map { _ in
                String(
                    (0..<Int.random(in: 0..<(kind.longest + 1), using: &random)).map { _ in
                        letters[Int.random(in: 0..<letters.count, using: &random)]
                    }
                )
            }
            return TokenTexts(strings: strings, endOfSequence: seed % 2 == 0 ? 3 : nil)
        }
        let (student, teacher) = (texts(kind.tokens), texts(kind.tokens + 5))
        let expected = Self.bruteForce(student: student, teacher: teacher)
        #expect(nearestTokens(student: student, teacher: teacher) == expected)
    }

    @Test("lengths far apart, and texts that have nothing in common")
    func farApart() {
        let long = String(repeating: "x", count: 300)
        let student = TokenTexts(strings: ["bbbb", "aaaa", "b", long], endOfSequence: nil)
        let teacher = TokenTexts(
            strings: ["z", long + "y", String(repeating: "q", count: 149), "zzzz"],
            endOfSequence: nil
        )
        let expected = Self.bruteForce(student: student, teacher: teacher)
        #expect(expected == [2, 3, 0, 0])
        #expect(nearestTokens(student: student, teacher: teacher) == expected)
    }

    @Test("tokens without text go to the end, else to the shortest text, else to token 0")
    func withoutText() {
        let teacher = TokenTexts(strings: ["", "</s>", "a"], endOfSequence: 1)
        func nearest(_ strings: [String], _ end: UInt32?) -> [UInt32] {
            nearestTokens(
                student: TokenTexts(strings: strings, endOfSequence: end),
                teacher: teacher
            )
        }
        #expect(nearest(["xx", "b", "</s>"], 2) == [2, 2, 1])
        #expect(nearest(["xx", "b", "c"], nil) == [1, 1, 1])
        #expect(nearest(["", "</s>"], 1) == [1, 1, 1])
        #expect(nearest(["", ""], nil) == [0, 0, 0])
    }
}

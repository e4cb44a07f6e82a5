import Foundation
import Testing

@testable import Scores

@Suite("Texts against references")
struct RougeTests {
    private struct Golden: Decodable {
        struct Pair: Decodable {
            let prediction: String, reference: String
            let plain: Double, stemmed: Double, exact: Double
        }
        let pairs: [Pair]
        let stems: [String: String]
    }

    private func golden() throws -> Golden {
        let url = try #require(
            Bundle.module.url(
                forResource: "rouge",
                withExtension: "json",
                subdirectory: "Fixtures"
            )
        )
        return try JSONDecoder().decode(Golden.self, from: Data(contentsOf: url))
    }

    @Test("ROUGE-L and exact match are rouge_score's and Super-NaturalInstructions'")
    func pairs() throws {
        let golden = try golden()
        #expect(golden.pairs.count == 303)
        let (plain, stemmed) = (RougeL(usesStemmer: false), RougeL())
        for pair in golden.pairs {
            let (a, r) = (pair.prediction, pair.reference)
            #expect(plain(a, reference: r) == pair.plain, "\(a) | \(r)")
            #expect(stemmed(a, reference: r) == pair.stemmed, "\(a) | \(r)")
            #expect(ExactMatch.score(a, references: [r]) == pair.exact, "\(a) | \(r)")
        }
        #expect(golden.pairs.contains { $0.stemmed > $0.plain })
    }

    @Test("stems are NLTK's")
    func stems() throws {
        let golden = try golden()
        #expect(golden.stems.count > 3_000)
        for (word, stem) in golden.stems { #expect(PorterStemmer.stem(word) == stem, "\(word)") }
    }

    @Test("the nearest reference counts")
    func severalReferences() {
        let rouge = RougeL()
        #expect(rouge("a b", references: ["c", "a b", "a"]) == 1)
        #expect(rouge("a b", references: []) == 0)
        #expect(ExactMatch.score("A  b.", references: ["c", "a b"]) == 1)
        #expect(ExactMatch.score("a b", references: ["c", "ab"]) == 0)
        #expect(ExactMatch.score("", references: []) == 0)
        #expect(ExactMatch.score("!", references: [""]) == 1)
    }

    @Test("the common subsequence is that of the table, also over many machine words")
    func subsequence() {
        var numbers = SystemRandomNumberGenerator()
        for lengths in [(1, 1), (5, 64), (64, 65), (63, 200), (200, 129), (300, 300), (0, 3)] {
            for letters in [1, 2, 5, 40] {
                let a = (0..<lengths.0).map { _ in Int.random(in: 0..<letters, using: &numbers) }
                let b = (0..<lengths.1).map { _ in Int.random(in: 0..<letters, using: &numbers) }
                #expect(longestCommonSubsequence(a, b) == byTable(a, b), "\(a) \(b)")
            }
        }
    }

    private func byTable(_ a: [Int], _ b: [Int]) -> Int {
        var row = [Int](repeating: 0, count: b.count + 1)
        for x in a {
            var diagonal = 0
            for (j, y) in b.enumerated() {
                let above = row[j + 1]
                row[j + 1] = x == y ? diagonal + 1 : max(above, row[j])
                diagonal = above
            }
        }
        return row[b.count]
    }

    @Test("long texts of one word, or without any, have a score")
    func longTexts() {
        let rouge = RougeL()
        let long = String(repeating: "y", count: 1 << 20)
        #expect(rouge(long, reference: long) == 1)
        #expect(rouge(String(repeating: "\u{202E}", count: 1 << 20), reference: "a") == 0)
        let words = String(repeating: "walked ", count: 20_000)
        #expect(rouge(words, reference: words) == 1)
    }
}

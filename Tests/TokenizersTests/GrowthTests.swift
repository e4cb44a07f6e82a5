import Foundation
import Testing

@testable import Tokenizers

@Suite("Files that ask for too much work")
struct GrowthTests {
    private func load(_ key: String, _ value: String, added: String = "[]") throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write(
            """
            {"\(key)": \(value), "added_tokens": \(added),
             "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}
            """,
            to: "tokenizer.json"
        )
        return try Tokenizer(directory: folder.url)
    }

    private func doubling(_ key: String, _ count: Int) -> String {
        let step = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#
        let steps = Array(repeating: step, count: count).joined(separator: ",")
        return #"{"type": "Sequence", "\#(key)": [\#(steps)]}"#
    }

    @Test("a normaliser that makes a text far longer gives up")
    func normalizer() throws {
        #expect(try load("normalizer", doubling("normalizers", 3)).encode("a").count == 8)
        let tokenizer = try load("normalizer", doubling("normalizers", 32))
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode("a") }
        #expect(error?.description.contains("more than 64 times as long") == true)
    }

    @Test("a decoder that would is refused, as are several steps to bytes")
    func steps() throws {
        #expect(try load("decoder", doubling("decoders", 6)).decode([0]).utf8.count == 64)
        #expect(throws: TokenizerError.self) { try load("decoder", doubling("decoders", 7)) }
        let bytes = #"{"type": "ByteLevel"}, {"type": "ByteLevel"}"#
        #expect(throws: TokenizerError.self) {
            try load("pre_tokenizer", #"{"type": "Sequence", "pretokenizers": [\#(bytes)]}"#)
        }
    }

    @Test("no merges are derived for an endless piece")
    func longPiece() throws {
        let long = String(repeating: "a", count: 1_000_000)
        let pieces = ["a", "aa", long, String(long.dropLast())]
        let merges = try DerivedMerges(
            pieces.enumerated().map { ($0.element, $0.offset) },
            path: "test"
        ).ranked(by: [])
        #expect(merges.map { [$0.left, $0.right] } == [["a", "a"]])
    }

    @Test("white space around added tokens is looked through once")
    func spaces() throws {
        let added = """
            [{"id": 2, "content": " ", "lstrip": true, "rstrip": true, "special": false},
             {"id": 3, "content": "\\t", "special": false}]
            """
        let tokenizer = try load("normalizer", "null", added: added)
        #expect(try tokenizer.encode("a \u{3000}\n b") == [0, 2, 2, 1])
        let count = 300_000
        let text = "a" + String(repeating: " \t", count: count) + "b"
        let start = ContinuousClock.now
        #expect(try tokenizer.encode(text).count == 2 * count + 2)
        let seconds = ContinuousClock.now - start
        #expect(seconds < .seconds(20))
    }
}

import Foundation
import Testing
import Tokenizers

@testable import Distill

@Suite("Texts of tokens")
struct TokenTextsTests {
    /// A Llama-style tokenizer: marks, a token for each byte, and some pieces.
    private static let pieces =
        ["<unk>", "<s>", "</s>"]
        + (0..<256).map { byte in
            let hex = String(byte, radix: 16, uppercase: true)
            return "<0x" + (hex.count == 1 ? "0" : "") + hex + ">"
        } + ["▁", "A", "▁Hello", "Hello", "▁▁", "é", "日", "<0xZZ>", "Ġ"]

    private static func tokenizer() throws -> Tokenizer {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("token-texts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let vocabulary = Dictionary(
            uniqueKeysWithValues: pieces.enumerated().map { ($1, $0) }
        )
        let special = ["<unk>", "<s>", "</s>"].enumerated().map { id, content -> [String: Any] in
            [
                "id": id, "content": content, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            ]
        }
        let file: [String: Any] = [
            "version": "1.0", "added_tokens": special,
            "normalizer": [
                "type": "Sequence",
                "normalizers": [
                    ["type": "Prepend", "prepend": "▁"],
                    ["type": "Replace", "pattern": ["String": " "], "content": "▁"],
                ],
            ],
            "decoder": [
                "type": "Sequence",
                "decoders": [
                    ["type": "Replace", "pattern": ["String": "▁"], "content": " "],
                    ["type": "ByteFallback"], ["type": "Fuse"],
                    ["type": "Strip", "content": " ", "start": 1, "stop": 0],
                ],
            ],
            "model": [
                "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                "vocab": vocabulary, "merges": [String](),
            ],
        ]
        try JSONSerialization.data(withJSONObject: file)
            .write(to: directory.appendingPathComponent("tokenizer.json"))
        try Data(#"{"eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}"#.utf8)
            .write(to: directory.appendingPathComponent("tokenizer_config.json"))
        return try Tokenizer(directory: directory)
    }

    private func strings(_ texts: TokenTexts) -> [[UInt8]] {
        (0..<UInt32(texts.count)).map { Array(texts.text(of: $0)) }
    }

    @Test("a SentencePiece-style tokenizer and its strings have the same texts")
    func spelledBytes() throws {
        let rows = Self.pieces.count + 2
        let texts = TokenTexts(try Self.tokenizer(), vocabulary: rows)
        let written = TokenTexts(strings: Self.pieces, endOfSequence: 2)
        #expect(texts.count == rows && texts.endOfSequence == 2)
        #expect(Array(texts.text(of: 3 + 0x0A)) == [0x0A])
        #expect(Array(texts.text(of: 261)) == Array(" Hello".utf8))
        #expect(Array(texts.text(of: 259)) == [0x20])
        #expect(Array(texts.text(of: 266)) == Array("<0xZZ>".utf8))
        #expect(Array(texts.text(of: 267)) == Array("Ġ".utf8))
        // `▁` and `A` stand beside their bytes, `é` and `日` are more than one byte.
        #expect(texts.unused == [3 + 0x20, 3 + 0x41] && written.unused == texts.unused)
        // Special tokens have no text where they are known, nor have rows without a token.
        for id: UInt32 in [0, 1, 2, UInt32(rows) - 1, UInt32(rows), .max] {
            #expect(!texts.hasText(id) && texts.text(of: id).isEmpty)
        }
        #expect(Array(strings(texts)[2..<Self.pieces.count]) == Array(strings(written)[2...]))
        #expect(Array(written.text(of: 1)) == Array("<s>".utf8))
    }

    @Test("a byte-level tokenizer and its strings have the same texts")
    func byteLevel() throws {
        let tokenizer = try TinyWorld.tokenizer(merges: true)
        let count = tokenizer.vocabularySize
        let texts = TokenTexts(tokenizer, vocabulary: count)
        let pieces = (0..<UInt32(count)).map { tokenizer.piece($0) }
        let written = TokenTexts(strings: pieces, endOfSequence: tokenizer.endOfSequence)
        for id in 0..<UInt32(count) where !tokenizer.isSpecial(id) {
            #expect(texts.text(of: id) == written.text(of: id), "\(id)")
        }
        #expect(texts.unused.isEmpty && written.unused.isEmpty)
    }

    @Test("a head smaller than the tokenizer cuts the texts, and the end with them")
    func smallHead() throws {
        let texts = TokenTexts(try Self.tokenizer(), vocabulary: 2)
        #expect(texts.count == 2 && texts.endOfSequence == nil)
    }

    @Test("in a short list of strings only the marks are other than they are written")
    func marks() {
        let texts = TokenTexts(
            strings: ["▁a", "Ġa", "a▁Ġb", "<0x0A>", "Ċ", "é", "", "</s>"],
            endOfSequence: 7
        )
        let expected = [" a", " a", "a  b", "<0x0A>", "Ċ", "é", "", ""]
        #expect(strings(texts) == expected.map { Array($0.utf8) })
        #expect(texts.unused.isEmpty)
    }
}

import Foundation
import Testing

@testable import Tokenizers

@Suite("Tokenizers written for GGUF")
struct GGMLWritingTests {
    @Test(
        "what is written gives the same ids again, under llama.cpp's name",
        arguments: [
            ("gpt-2", "gpt-2"), ("smollm", "smollm"), ("qwen2", "qwen2"),
            ("llama-bpe", "llama-bpe"),
        ]
    )
    func byteLevel(name: String, pre: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let rows = tokenizer.vocabularySize + 3
        let ggml = try GGMLVocabulary(tokenizer, rows: rows, path: name)
        #expect(ggml.model == "gpt2" && ggml.pre == pre)
        #expect(ggml.tokens.count == rows && ggml.tokenTypes.suffix(3) == [5, 5, 5])
        let again = try Tokenizer(ggml: ggml)
        let conditional = tokenizer.conditionalTokens
        #expect(conditional.isEmpty == (name != "gpt-2" && name != "qwen2"))
        for text in try Fixtures.strings() where !conditional.contains(where: text.contains) {
            for special in [true, false] {
                #expect(
                    try again.encode(text, addSpecialTokens: special)
                        == tokenizer.encode(text, addSpecialTokens: special),
                    "\(text.debugDescription)"
                )
            }
        }
        if let end = tokenizer.endOfSequence { #expect(again.endOfSequence == end) }
        if let begin = tokenizer.beginOfSequence { #expect(again.beginOfSequence == begin) }
    }

    /// A vocabulary with the scores of SentencePiece (reference/ggml_goldens.py).
    private struct Golden: Decodable {
        struct Kind: Decodable {
            let architecture: String
            let tokens: [String]
            let types: [Int32]
            let scores: [Float]
        }
        let strings: [String]
        let kinds: [Kind]
    }

    @Test("scores of a SentencePiece vocabulary give its merges again")
    func sentencePiece() throws {
        let golden = try JSONDecoder().decode(
            Golden.self,
            from: Data(contentsOf: Fixtures.url("ggml.json"))
        )
        let kind = try #require(golden.kinds.first { $0.architecture == "llama" })
        var given = GGMLVocabulary(
            model: "llama",
            pre: "default",
            tokens: kind.tokens,
            tokenTypes: kind.types,
            merges: [],
            bos: 1,
            eos: 2,
            unknown: 0
        )
        given.architecture = "llama"
        given.scores = kind.scores
        let tokenizer = try Tokenizer(ggml: given)
        let written = try GGMLVocabulary(
            tokenizer,
            rows: tokenizer.vocabularySize,
            path: "ggml.json"
        )
        #expect(written.model == "llama" && written.addSpacePrefix == true)
        #expect(written.tokens == kind.tokens && written.addBOS == true)
        #expect(written.tokenTypes == kind.types)
        let again = try Tokenizer(ggml: written)
        for text in golden.strings {
            #expect(
                try again.encode(text, addSpecialTokens: true)
                    == tokenizer.encode(text, addSpecialTokens: true),
                "\(text)"
            )
        }
    }

    @Test(
        "what llama.cpp has no name for is refused",
        arguments: ["prefix", "pieces/t5", "pieces/xlnet", "pieces/words", "pieces/llama-legacy"]
    )
    func refused(name: String) throws {
        let tokenizer = try Tokenizer(directory: Fixtures.url(name))
        let error = #expect(throws: TokenizerError.self) {
            try GGMLVocabulary(tokenizer, rows: tokenizer.vocabularySize, path: name)
        }
        guard case .unsupported(let path, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(path == name)
    }
}

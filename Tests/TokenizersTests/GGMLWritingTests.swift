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

    @Test("scores of a SentencePiece vocabulary give its merges again")
    func sentencePiece() throws {
        let golden = try GGMLGolden.read()
        let kind = try #require(golden.kinds.first { $0.architecture == "llama" })
        let tokenizer = try Tokenizer(ggml: GGMLVocabulary(kind))
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

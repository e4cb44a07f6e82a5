import Foundation
import Testing

@testable import Tokenizers

@Suite("GGUF vocabularies")
struct GGMLTests {
    @Test("merges derived from scores are in the order of transformers' converter")
    func merges() throws {
        for kind in try GGMLGolden.read().kinds {
            let pieces = kind.tokens.enumerated().map { (piece: $0.element, id: $0.offset) }
            let isGemma = kind.architecture == "gemma3"
            // The spaces of Gemma's files are marks in its merges.
            let spelled = pieces.map { entry in
                isGemma && !entry.piece.isEmpty && entry.piece.allSatisfy { $0 == " " }
                    ? (String(repeating: "\u{2581}", count: entry.piece.count), entry.id) : entry
            }
            let merges = try DerivedMerges(spelled, path: "test").ranked(
                by: isGemma ? [] : kind.scores
            )
            #expect(merges.map { [$0.left, $0.right] } == kind.merges, "\(kind.architecture)")
        }
    }

    @Test("the llama kind gives the reference's ids and texts")
    func sentencePiece() throws {
        let golden = try GGMLGolden.read()
        for kind in golden.kinds {
            let tokenizer = try Tokenizer(ggml: GGMLVocabulary(kind))
            for (index, text) in golden.strings.enumerated() {
                let ids = try tokenizer.encode(text)
                #expect(ids == kind.ids[index], "\(kind.architecture) \(text.debugDescription)")
                #expect(tokenizer.decode(ids) == kind.decoded[index])
            }
            #expect(try tokenizer.encode("a", addSpecialTokens: true).first == 1)
        }
    }

    @Test(
        "every named pre-tokeniser compiles and keeps every byte",
        arguments: GGMLPreTokenizer.names
    )
    func names(name: String) throws {
        var ggml = try Fixtures.ggml("smollm", pre: name)
        ggml.pre = name
        let tokenizer = try Tokenizer(ggml: ggml)
        // What composition makes of a text is GoldenTests' to check, with qwen2.
        let composes = ["mpt", "olmo", "command-r", "qwen2", "qwen35", "deepseek-r1-qwen"]
        let composing = try Tokenizer(ggml: Fixtures.ggml("smollm", pre: "qwen2"))
        for text in try Fixtures.strings() where !text.contains("<|") {
            let expected =
                try composes.contains(name)
                ? composing.encode(text).flatMap { composing.bytes(of: $0) } : Array(text.utf8)
            let ids = try tokenizer.encode(text)
            let found = ids.flatMap { tokenizer.bytes(of: $0) }
            #expect(found == expected, "\(name) \(text.debugDescription)")
        }
    }

    @Test("numbers and marks are cut as each name says")
    func cuts() throws {
        // Merges that make any stretch of the text one piece, so that words are tokens.
        func words(_ name: String, _ text: String, architecture: String = "") throws -> [String] {
            let letters = text.utf8.map { String(Character(ByteAlphabet.scalars[Int($0)])) }
            var tokens = ByteAlphabet.scalars.map { String(Character($0)) }
            var merges: [String] = []
            for start in letters.indices {
                for end in letters.indices.dropFirst(start + 1) {
                    let left = letters[start..<end].joined()
                    guard !tokens.contains(left + letters[end]) else { continue }
                    tokens.append(left + letters[end])
                    merges.append("\(left) \(letters[end])")
                }
            }
            var ggml = GGMLVocabulary(
                model: "gpt2",
                pre: name,
                tokens: tokens,
                tokenTypes: [],
                merges: merges
            )
            ggml.architecture = architecture
            let tokenizer = try Tokenizer(ggml: ggml)
            return try tokenizer.encode(text).map {
                String(decoding: tokenizer.bytes(of: $0), as: UTF8.self)
            }
        }
        #expect(try words("falcon", "a 12345!?b") == ["a", " ", "123", "45", "!?", "b"])
        #expect(try words("gpt-2", "a 12345!?b") == ["a", " 12345", "!?", "b"])
        #expect(try words("starcoder", "a 12") == ["a", " ", "1", "2"])
        #expect(
            try words("tekken", "HelloWorld 12 a/\n") == [
                "Hello", "World", " ", "1", "2", " a", "/\n",
            ]
        )
        #expect(try words("gpt-4o", "HELLOWorld's 1234") == ["HELLOWorld's", " ", "123", "4"])
        #expect(try words("bloom", "a, b|c") == ["a", ",", " b", "|", "c"])
        #expect(try words("deepseek-coder", "a b\n12") == ["a", " b", "\n", "1", "2"])
        #expect(try words("default", "a1234", architecture: "gptneox") == ["a", "1234"])
        #expect(try words("default", "a1234") == ["a", "123", "4"])
    }
}

@Suite(
    "Vocabulary files",
    .enabled(if: ProcessInfo.processInfo.environment["RETORT_VOCABS"] != nil)
)
struct GGMLVocabularyFileTests {
    @Test("chat templates with texts too long for the fixtures are recognised")
    func longTemplates() throws {
        let path = try #require(ProcessInfo.processInfo.environment["RETORT_VOCABS"])
        for (file, name) in [
            ("google-gemma-2-2b-it", "gemma"), ("microsoft-Phi-3.5-mini-instruct", "phi3"),
            ("Qwen-Qwen3-0.6B", "chatml"), ("Qwen3-Coder", "chatml"),
        ] {
            let text = try String(
                contentsOfFile: "\(path)/templates/\(file).jinja",
                encoding: .utf8
            )
            #expect(ChatTemplate.recognised(text) == name, "\(file)")
        }
    }
}

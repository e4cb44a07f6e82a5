import Foundation
import Testing

@testable import Tokenizers

@Suite("Files that are wrong")
struct HostileFileTests {
    private func load(_ json: String) throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write(json, to: "tokenizer.json")
        return try Tokenizer(directory: folder.url)
    }

    private func file(
        vocab: String = #"{"a": 0, "b": 1, "ab": 2}"#,
        merges: String = #"["a b"]"#,
        added: String = "[]",
        normalizer: String = "null",
        pre: String = #"{"type": "ByteLevel", "add_prefix_space": false}"#,
        post: String = "null",
        decoder: String = "null",
        model: String = #""type": "BPE""#
    ) -> String {
        """
        {"added_tokens": \(added), "normalizer": \(normalizer), "pre_tokenizer": \(pre),
         "post_processor": \(post), "decoder": \(decoder),
         "model": {\(model), "vocab": \(vocab), "merges": \(merges)}}
        """
    }

    @Test("the smallest file works, and bytes without a token are left out as in the reference")
    func smallest() throws {
        #expect(try load(file()).encode("abcba") == [2, 1, 0])
        let model = #""type": "BPE", "unk_token": "b", "fuse_unk": true"#
        #expect(try load(file(merges: "[]", model: model)).encode("axya") == [0, 1, 0])
    }

    @Test("an error names the file and the place")
    func message() throws {
        let error = #expect(throws: TokenizerError.self) {
            try load(file(merges: #"["a c"]"#))
        }
        let text = try #require(error).description
        #expect(text.contains("tokenizer.json: merge 0, 'a c'"))
    }

    @Test(
        "what is not implemented is refused by name",
        arguments: [
            (#""type": "WordPiece""#, "model", "WordPiece"),
            (#""type": "WordLevel""#, "model", "WordLevel"),
            (#""type": "BPE", "dropout": 0.1"#, "model", "dropout"),
            (#""type": "BPE", "end_of_word_suffix": "</w>""#, "model", "end_of_word_suffix"),
            (#"{"type": "BertNormalizer"}"#, "normalizer", "BertNormalizer"),
            (#"{"type": "BertPreTokenizer"}"#, "pre", "BertPreTokenizer"),
            (#"{"type": "UnicodeScripts"}"#, "pre", "UnicodeScripts"),
            (
                #"{"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Eaten"}"#, "pre",
                "Eaten"
            ),
            (#"{"type": "WordPiece"}"#, "decoder", "WordPiece"),
        ]
    )
    func unsupported(value: String, place: String, word: String) throws {
        let json =
            switch place {
            case "model": file(model: value)
            case "normalizer": file(normalizer: value)
            case "pre": file(pre: value)
            case "post": file(post: value)
            default: file(decoder: value)
            }
        let error = #expect(throws: TokenizerError.self) { try load(json) }
        #expect(error?.description.contains(word) == true)
    }

    @Test(
        "wrong values throw",
        arguments: [
            "", "[]", "{}", "nul", "{\"model\": 3}", "\u{0}", "{\"model\": {}} x",
            "{\"a\": 1, \"a\": 2}",
            "{\"a\": \"\\ud800\"}", "{\"a\": 1e999}", "{\"a\": \"\n\"}",
        ]
    )
    func notAFile(json: String) {
        #expect(throws: TokenizerError.self) { try load(json) }
    }

    @Test(
        "wrong vocabularies and merges throw",
        arguments: [
            #"{"a": 0, "a": 1}"#, #"{"a": 0, "b": 0}"#, #"{"a": -1}"#, #"{"a": 99999999999}"#,
            #"{"a": 4000000}"#, #"{"a": 1.5}"#, #"{"a": "0"}"#, #"{"": 0}"#, "[]", "{}", "3",
            #"{"a": 9223372036854775808}"#,
        ]
    )
    func vocabulary(json: String) {
        #expect(throws: TokenizerError.self) { try load(file(vocab: json, merges: "[]")) }
    }

    @Test(
        "wrong merges throw",
        arguments: [
            #"["ab"]"#, #"["a b c"]"#, #"["a  b"]"#, #"[["a"]]"#, #"[["a", "b", "ab"]]"#, "[3]",
            #"["a b", "a b"]"#, #"["b a"]"#, "{}", #"[["a", 3]]"#,
        ]
    )
    func merges(json: String) {
        #expect(throws: TokenizerError.self) { try load(file(merges: json)) }
    }

    @Test(
        "wrong added tokens throw",
        arguments: [
            #"[{"id": 3}]"#, #"[{"id": -3, "content": "x"}]"#, #"[{"id": 1, "content": "x"}]"#,
            #"[{"id": 2, "content": "a"}]"#, #"[{"id": 3, "content": ""}]"#, "[3]", "{}",
            #"[{"id": 3, "content": "x"}, {"id": 4, "content": "x"}]"#,
            #"[{"id": 3, "content": "x"}, {"id": 3, "content": "y"}]"#,
            #"[{"id": 3, "content": "x", "special": 1}]"#, #"[{"id": 3000000, "content": "x"}]"#,
        ]
    )
    func added(json: String) {
        #expect(throws: TokenizerError.self) { try load(file(added: json)) }
    }

    @Test("nesting of 100,000 levels is refused")
    func nesting() {
        for bracket in ["[", "{\"a\":"] {
            let bomb = String(repeating: bracket, count: 100_000)
            #expect(throws: TokenizerError.self) { try load(bomb) }
            #expect(throws: TokenizerError.self) { try load(file(pre: bomb)) }
        }
    }

    @Test(
        "patterns that Oniguruma and PCRE2 read differently are refused",
        arguments: [
            #"\\w+"#, #"\\h"#, "[a&&b]", "[a[b]]", "(*UCP)a", "(?C1)a", "(?P<n>a)", "a(", "[a",
            "\\\\",
            #"(a)\\1"#, "[]a]", #"[\\S]"#,
        ]
    )
    func patterns(pattern: String) {
        let pre = """
            {"type": "Sequence", "pretokenizers": [{"type": "Split", "behavior": "Isolated",
             "pattern": {"Regex": "\(pattern)"}}, {"type": "ByteLevel"}]}
            """
        #expect(throws: TokenizerError.self) { try load(file(pre: pre)) }
    }

    @Test("a pattern that would take forever gives an error")
    func catastrophe() throws {
        let pattern = try Pattern("(?:(?:a|a)+)+[bc]")
        let matcher = try Pattern.Matcher()
        let text = Array(String(repeating: "a", count: 64).utf8)
        let error = #expect(throws: TokenizerError.self) {
            try text.withUnsafeBufferPointer { try pattern.split($0, matcher) { _ in } }
        }
        #expect(error?.description.contains("gave up") == true)
    }

    @Test("empty matches divide a text, and splitting ends")
    func emptyMatches() throws {
        let pattern = try Pattern("x*")
        let matcher = try Pattern.Matcher()
        var parts: [String] = []
        try Array("aéxxb".utf8).withUnsafeBufferPointer {
            try pattern.split($0, matcher) { parts.append(String(decoding: $0, as: UTF8.self)) }
        }
        #expect(parts == ["a", "é", "xx", "b"])
    }

    @Test("damaged files throw or load, and never crash")
    func damage() throws {
        let url = try Fixtures.url("qwen2/tokenizer.json")
        let whole = [UInt8](try Data(contentsOf: url))
        let folder = try TemporaryDirectory()
        let target = folder.url.appendingPathComponent("tokenizer.json")
        var state: UInt64 = 42
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for round in 0..<200 {
            var bytes = whole
            if round.isMultiple(of: 4) {
                bytes.removeSubrange(next(bytes.count)...)
            } else {
                // Most of what matters stands in the first part, before the vocabulary.
                bytes[next(round.isMultiple(of: 2) ? 2_000 : bytes.count)] = UInt8(next(256))
            }
            try Data(bytes).write(to: target)
            do {
                _ = try Tokenizer(directory: folder.url).encode("The river <|im_end|> 12 é")
            } catch is TokenizerError {
                continue
            }
        }
    }

    @Test("wrong GGUF vocabularies are refused by name")
    func ggml() throws {
        func error(_ change: (inout GGMLVocabulary) -> Void) throws -> String {
            var vocabulary = try Fixtures.ggml("smollm", pre: "smollm")
            change(&vocabulary)
            let copy = vocabulary
            let error = #expect(throws: TokenizerError.self) { try Tokenizer(ggml: copy) }
            return error?.description ?? ""
        }
        let kind = try error { $0.model = "bert" }
        #expect(kind.contains("'bert' is not supported. Known: gpt2, llama, gemma4"))
        #expect(kind.hasPrefix("the GGUF file: "))
        let named = try error { ($0.model, $0.path) = ("bert", "/models/a.gguf") }
        #expect(named.hasPrefix("/models/a.gguf: "))
        let pre = try error { $0.pre = "smolm" }
        #expect(pre.contains("Did you mean 'smollm'?"))
        #expect(pre.contains("bloom, command-r, dbrx"))
        #expect(try error { $0.tokenTypes.removeLast() }.contains("token_type"))
        #expect(try error { $0.scores = [1, 2] }.contains("scores"))
        #expect(try error { $0.tokens[5] = $0.tokens[6] }.contains("twice"))
        #expect(try error { $0.merges[0] = "nonsense" }.contains("merges[0]"))
        #expect(try error { $0.tokens = [] }.isEmpty == false)
    }

    @Test("missing files and impossible training are explained")
    func missing() throws {
        let folder = try TemporaryDirectory()
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(directory: folder.url)
        }
        #expect(error?.description.contains("neither tokenizer.json nor vocab.json") == true)
        let small = #expect(throws: TokenizerError.self) {
            try BPETrainer.train(
                texts: ["x"],
                vocabularySize: 100,
                specialTokens: [],
                endOfSequence: "<end>"
            )
        }
        #expect(small?.description.contains("257") == true)
        let blocked = folder.url.appendingPathComponent("file")
        try Data().write(to: blocked)
        #expect(throws: TokenizerError.self) {
            try Fixtures.tokenizer("smollm").write(to: blocked)
        }
    }
}

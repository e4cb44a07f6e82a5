import Foundation
import Testing

@testable import Tokenizers

@Suite("Ids and texts against Hugging Face tokenizers")
struct GoldenTests {
    @Test("hard strings give the reference's ids", arguments: Fixtures.tokenizers)
    func ids(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected(name)
        for (text, ids) in zip(try Fixtures.strings(), expected.ids) {
            #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
        }
    }

    @Test("special tokens in plain text are text", arguments: Fixtures.tokenizers)
    func plain(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected(name)
        for (text, ids) in zip(try Fixtures.strings(), expected.plain) {
            #expect(try tokenizer.encodePlain(text) == ids, "\(text.debugDescription)")
        }
    }

    @Test(
        "ids cut anywhere decode to the reference's text",
        arguments: Fixtures.tokenizers
    )
    func decode(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected(name)
        // An added token with a Latin letter: the reference reads its characters as bytes.
        let garbled = tokenizer.id(of: "naïve")
        for (ids, text) in zip(expected.ids, expected.decoded) {
            let cut = Array(ids.dropFirst().dropLast())
            if let garbled, cut.contains(garbled) { continue }
            let decoded = tokenizer.decode(cut, skipSpecialTokens: false)
            #expect(Array(decoded.unicodeScalars) == Array(text.unicodeScalars))
        }
    }

    @Test("what the post-processor puts around a text", arguments: Fixtures.tokenizers)
    func around(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let ids = try tokenizer.encode("Hello", addSpecialTokens: true)
        #expect(ids == (try Fixtures.expected(name).around))
    }

    @Test("a written tokenizer reads back as the same one", arguments: Fixtures.tokenizers)
    func written(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let folder = try TemporaryDirectory()
        try tokenizer.write(to: folder.url)
        let again = try Tokenizer(directory: folder.url)
        #expect(again.fingerprint == tokenizer.fingerprint)
        #expect(again.endOfSequence == tokenizer.endOfSequence)
        let expected = try Fixtures.expected(name)
        for (text, ids) in zip(try Fixtures.strings(), expected.ids) {
            #expect(try again.encode(text) == ids)
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.url.path)
        #expect(
            left.sorted() == [
                "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
            ]
        )
    }

    @Test("a GGUF vocabulary gives the reference's ids", arguments: ["smollm", "llama-bpe"])
    func ggml(name: String) throws {
        let tokenizer = try Tokenizer(ggml: Fixtures.ggml(name, pre: name))
        let expected = try Fixtures.expected(name)
        for (text, ids) in zip(try Fixtures.strings(), expected.ids) {
            #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
        }
        #expect(tokenizer.endOfSequence == 0)
        #expect(tokenizer.beginOfSequence == 1)
        #expect(tokenizer.isSpecial(2))
    }

    @Test(
        "vocab.json and merges.txt give what tokenizer.json gives",
        arguments: [
            ("prefix", "GPT2Tokenizer", true), ("qwen2", "Qwen2Tokenizer", false),
        ]
    )
    func legacy(name: String, tokenizerClass: String, space: Bool) throws {
        let root = try JSONReader.read(Fixtures.url("\(name)/tokenizer.json"))
        let definition = try TokenizerFile(path: name).definition(root)
        let folder = try TemporaryDirectory()
        let vocabulary = definition.vocabulary.map { "\(JSONText.quoted($0.piece)): \($0.id)" }
        try folder.write("{\(vocabulary.joined(separator: ","))}", to: "vocab.json")
        let merges = definition.merges.map { "\($0.left) \($0.right)\n" }.joined()
        try folder.write("#version: 0.2\n" + merges, to: "merges.txt")
        try folder.write(
            """
            {"tokenizer_class": "\(tokenizerClass)", "add_prefix_space": \(space),
             "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
            """,
            to: "tokenizer_config.json"
        )
        let tokenizer = try Tokenizer(directory: folder.url)
        let other = ["<mask>", "<pad>", "solo", "naïve", "nai\u{308}ve"]
        let expected = try Fixtures.expected(name)
        for (text, ids) in zip(try Fixtures.strings(), expected.ids)
        where !other.contains(where: { text.unicodeScalars.contains($0.unicodeScalars) }) {
            #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
        }
        #expect(tokenizer.endOfSequence == tokenizer.id(of: "<|endoftext|>"))
    }

    @Test("the bytes of the tokens are the bytes of the text")
    func bytes() throws {
        let tokenizer = try Fixtures.tokenizer("smollm")
        for text in try Fixtures.strings() {
            let bytes = try tokenizer.encodePlain(text).flatMap { tokenizer.bytes(of: $0) }
            #expect(bytes == Array(text.utf8))
        }
        #expect(tokenizer.bytes(of: 0).isEmpty)
        #expect(tokenizer.bytes(of: 1_000_000).isEmpty)
        #expect(tokenizer.piece(.max).isEmpty)
    }

    @Test("many tasks may use one tokenizer")
    func concurrent() async throws {
        let tokenizer = try Fixtures.tokenizer("qwen2")
        let strings = try Fixtures.strings()
        let expected = try Fixtures.expected("qwen2").ids
        try await withThrowingTaskGroup(of: [[UInt32]].self) { group in
            for _ in 0..<4 {
                group.addTask { try strings.map { try tokenizer.encode($0) } }
            }
            for try await ids in group { #expect(ids == expected) }
        }
    }

    @Test("roles come from the first file that names them")
    func roles() throws {
        let folder = try TemporaryDirectory()
        let source = try Fixtures.url("smollm/tokenizer.json")
        try FileManager.default.copyItem(
            at: source,
            to: folder.url.appendingPathComponent("tokenizer.json")
        )
        try folder.write(#"{"eos_token": {"content": "<|im_end|>"}}"#, to: "tokenizer_config.json")
        try folder.write(
            #"{"eos_token": "<|im_start|>", "pad_token": "<|endoftext|>"}"#,
            to: "special_tokens_map.json"
        )
        try folder.write(#"{"bos_token_id": 1, "pad_token_id": 2}"#, to: "config.json")
        let tokenizer = try Tokenizer(directory: folder.url)
        #expect(tokenizer.endOfSequence == 2)
        #expect(tokenizer.beginOfSequence == 1)
        #expect(tokenizer.padding == 0)
        let plain = try Fixtures.tokenizer("smollm")
        #expect(tokenizer.fingerprint != plain.fingerprint)
        try folder.write(#"{"eos_token": "<nowhere>"}"#, to: "tokenizer_config.json")
        let error = #expect(throws: TokenizerError.self) {
            try Tokenizer(directory: folder.url)
        }
        #expect(error?.description.contains("'<nowhere>' is not in the vocabulary") == true)
    }

    @Test("the trainer finds the reference's merges")
    func training() throws {
        let texts = try Fixtures.strings("training.json")
        let special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        let trained = try BPETrainer.train(
            texts: texts,
            vocabularySize: 600,
            specialTokens: special,
            endOfSequence: "<|endoftext|>"
        )
        let root = try JSONReader.read(Fixtures.url("gpt-2/tokenizer.json"))
        let expected = try TokenizerFile(path: "gpt-2").definition(root)
        let merges = trained.core.mergeList.map {
            [trained.piece(UInt32($0 >> 32)), trained.piece(UInt32($0 & 0xFFFF_FFFF))]
        }
        #expect(merges == expected.merges.map { [$0.left, $0.right] })
        for entry in expected.vocabulary where entry.id < 600 {
            #expect(trained.piece(UInt32(entry.id)) == entry.piece)
        }
        #expect(trained.vocabularySize == 600)
        let reversed = try BPETrainer.train(
            texts: texts.reversed(),
            vocabularySize: 600,
            specialTokens: special,
            endOfSequence: "<|endoftext|>"
        )
        #expect(reversed.fingerprint == trained.fingerprint)
    }
}

/// The real vocabularies are not part of the repository; this runs where they are.
@Suite("Real vocabularies", .enabled(if: SharedFiles.folder != nil))
struct SharedVocabularyTests {
    @Test(
        "GPT-2 and Qwen1.5 load and round-trip",
        arguments: [
            ("gpt2", [15496, 995]), ("qwen1.5", [9707, 1879]),
        ]
    )
    func load(name: String, hello: [UInt32]) throws {
        let folder = try #require(SharedFiles.folder)
        let tokenizer = try Tokenizer(
            directory: folder.appendingPathComponent("tokenizers/\(name)")
        )
        #expect(try tokenizer.encode("Hello world") == hello)
        for text in try Fixtures.strings() where name == "gpt2" {
            #expect(tokenizer.decode(try tokenizer.encodePlain(text)) == text)
        }
    }
}

enum SharedFiles {
    static let folder = ProcessInfo.processInfo.environment["RETORT_SHARED"]
        .map { URL(fileURLWithPath: $0) }
}

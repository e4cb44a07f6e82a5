import Foundation
import Testing

@testable import Tokenizers

@Suite("Roles given by id")
struct RoleTests {
    /// Three letters and an added token, beside a `config.json` and a `tokenizer_config.json`.
    private func load(_ config: String, _ settings: String = "{}") throws -> Tokenizer {
        let folder = try TemporaryDirectory()
        try folder.write(
            """
            {"added_tokens": [{"id": 3, "content": "<end>", "special": true}],
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
             "model": {"type": "BPE", "vocab": {"!": 0, "a": 1, "b": 2}, "merges": []}}
            """,
            to: "tokenizer.json"
        )
        try folder.write(config, to: "config.json")
        try folder.write(settings, to: "tokenizer_config.json")
        return try Tokenizer(directory: folder.url)
    }

    @Test("an ordinary piece that config.json gives a role stays one")
    func ordinary() throws {
        let tokenizer = try load(#"{"pad_token_id": 0, "eos_token_id": [2, 3], "bos_token_id": 1}"#)
        #expect(tokenizer.padding == nil)
        #expect(tokenizer.endOfSequence == 2 && tokenizer.beginOfSequence == 1)
        #expect((0..<4).map { tokenizer.isSpecial($0) } == [false, false, false, true])
        #expect(tokenizer.decode(try tokenizer.encode("!ab")) == "!ab")
        // Written and read again, it is the same.
        let folder = try TemporaryDirectory()
        try tokenizer.write(to: folder.url)
        #expect(try Tokenizer(directory: folder.url).fingerprint == tokenizer.fingerprint)
    }

    @Test("an added token with a role, and a piece named by its text, are special")
    func special() throws {
        #expect(try load(#"{"eos_token_id": 3}"#).endOfSequence == 3)
        let named = try load(#"{"pad_token_id": 1}"#, #"{"pad_token": "!"}"#)
        #expect(named.padding == 0 && named.isSpecial(0) && !named.isSpecial(1))
    }

    @Test("ids without a token count as absent", arguments: ["-1", "4", "9223372036854775807"])
    func absent(id: String) throws {
        let tokenizer = try load(
            #"{"pad_token_id": \#(id), "eos_token_id": \#(id), "bos_token_id": [\#(id)]}"#
        )
        #expect(tokenizer.endOfSequence == nil && tokenizer.beginOfSequence == nil)
    }

    @Test("in GGUF files too")
    func ggml() throws {
        var ggml = try Fixtures.ggml("llama-bpe", pre: "llama-bpe")
        let letter = try #require(ggml.tokens.firstIndex(of: "a"))
        ggml.eos = letter
        let tokenizer = try Tokenizer(ggml: ggml)
        #expect(tokenizer.endOfSequence == UInt32(letter))
        #expect(!tokenizer.isSpecial(UInt32(letter)) && tokenizer.isSpecial(1))
        for id in [-1, ggml.tokens.count] {
            (ggml.bos, ggml.eos, ggml.addEOS) = (id, id, true)
            let tokenizer = try Tokenizer(ggml: ggml)
            #expect(tokenizer.endOfSequence == nil && tokenizer.beginOfSequence == nil)
            #expect(try tokenizer.encode("a", addSpecialTokens: true) == [UInt32(letter)])
        }
    }
}

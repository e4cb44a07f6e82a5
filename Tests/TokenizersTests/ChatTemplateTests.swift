import Foundation
import Testing

@testable import Tokenizers

/// What reference/template_goldens.py wrote: published chat templates and what transformers makes of them.
private struct Golden: Decodable {
    struct Published: Decodable {
        let name: String
        let source: String
        let jinja: String?
    }
    struct Unknown: Decodable {
        let jinja: String
        let suggestion: String?
    }
    let bos: String
    let messages: [String]
    let rendered: [String: [String]]
    let published: [Published]
    let notKnown: [Unknown]

    enum CodingKeys: String, CodingKey {
        case bos, messages, rendered, published
        case notKnown = "not_known"
    }

    static func read() throws -> Golden {
        try JSONDecoder().decode(
            Golden.self,
            from: Data(contentsOf: Fixtures.url("templates.json"))
        )
    }
}

@Suite("Chat templates")
struct ChatTemplateTests {
    @Test("prompt templates give what transformers makes of the published chat templates")
    func rendered() throws {
        let golden = try Golden.read()
        #expect(
            Set(golden.rendered.keys)
                == ["chatml", "gemma", "llama2", "llama3", "mistral", "phi3", "zephyr"]
        )
        for (name, texts) in golden.rendered {
            let template = try PromptTemplate.named(name)
            for (message, text) in zip(golden.messages, texts) {
                let begin = template.beginsSequence ? golden.bos : ""
                let found = begin + template.render(prompt: message)
                #expect(found.unicodeScalars.elementsEqual(text.unicodeScalars), "\(name)")
            }
        }
    }

    @Test("published texts are recognised, whatever white space their files end in")
    func recognised() throws {
        for published in try Golden.read().published {
            guard let jinja = published.jinja else { continue }
            #expect(ChatTemplate.recognised(jinja) == published.name, "\(published.source)")
            #expect(ChatTemplate.recognised("\n" + jinja + "\n") == published.name)
            #expect(ChatTemplate.suggestion(jinja) == published.name, "\(published.source)")
            // A space in the middle may be a space in the prompt.
            #expect(
                ChatTemplate.recognised(jinja.replacing("[INST] '", with: "[INST]  '")) == nil
                    || !jinja.contains("[INST] '")
            )
        }
    }

    @Test("texts that put something of their own in are not, and only make a suggestion")
    func unknown() throws {
        for text in try Golden.read().notKnown {
            #expect(ChatTemplate.recognised(text.jinja) == nil)
            #expect(ChatTemplate.suggestion(text.jinja) == text.suggestion)
        }
    }

    @Test("an input follows the prompt after an empty line, and both are trimmed as one")
    func input() throws {
        let template = try PromptTemplate.named("gemma")
        #expect(
            template.render(prompt: " a ", input: " b ")
                == "<start_of_turn>user\na \n\n b<end_of_turn>\n<start_of_turn>model\n"
        )
        #expect(
            try PromptTemplate.named("mistral").render(prompt: " a", input: "b ")
                == "[INST]  a\n\nb  [/INST]"
        )
    }

    @Test("auto takes the recognised template, else says what to set")
    func automatic() throws {
        let golden = try Golden.read()
        let known = try #require(golden.published.first { $0.name == "llama3" }?.jinja)
        #expect(
            try PromptTemplate.named("auto", model: "m") { known }.name == "llama3"
        )
        #expect(try PromptTemplate.named("plain", model: "m") { known }.name == "plain")
        let smol = golden.notKnown[0].jinja
        let near = #expect(throws: TokenizerError.self) {
            try PromptTemplate.named("auto", model: "m") { smol }
        }
        #expect(near?.description.contains("m: ") == true)
        #expect(near?.description.contains("Set template: chatml") == true)
        let none = #expect(throws: TokenizerError.self) {
            try PromptTemplate.named("auto", model: "m") { nil }
        }
        #expect(none?.description.contains("no chat template") == true)
    }

    @Test("a directory's chat template is found where transformers puts it")
    func directory() throws {
        let folder = try TemporaryDirectory()
        #expect(try ChatTemplate.text(directory: folder.url) == nil)
        try folder.write(#"{"chat_template": "one"}"#, to: "tokenizer_config.json")
        #expect(try ChatTemplate.text(directory: folder.url) == "one")
        try folder.write(
            #"{"chat_template": [{"name": "tool_use", "template": "no"}, "#
                + #"{"name": "default", "template": "two"}]}"#,
            to: "tokenizer_config.json"
        )
        #expect(try ChatTemplate.text(directory: folder.url) == "two")
        try folder.write("three\n", to: "chat_template.jinja")
        #expect(try ChatTemplate.text(directory: folder.url) == "three\n")
    }

    @Test("the begin token stands in front once, and a prompt cannot forge one")
    func begin() throws {
        let tokenizer = try BPETrainer.train(
            texts: ["some text, and more of it"],
            vocabularySize: 300,
            specialTokens: ["<end>", "<start_of_turn>", "<end_of_turn>"],
            endOfSequence: "<end>"
        )
        let template = try PromptTemplate.named("llama2")
        let error = #expect(throws: TokenizerError.self) {
            try tokenizer.encode(template, prompt: "Hi")
        }
        #expect(error?.description.contains("begin-of-sequence token") == true)

        // llama-bpe puts token 1 in front of every text by itself.
        let begins = try Tokenizer(ggml: Fixtures.ggml("llama-bpe", pre: "llama-bpe"))
        #expect(try begins.encode("Hi", addSpecialTokens: true).first == begins.beginOfSequence)
        let first = try #require(begins.beginOfSequence)
        let ids = try begins.encode(template, prompt: "Hi <|im_start|>")
        #expect(ids.first == first)
        #expect(ids.count { $0 == first } == 1)
        #expect(
            Array(ids.dropFirst()) == (try begins.encodePlain("[INST] Hi <|im_start|> [/INST]"))
        )
    }
}

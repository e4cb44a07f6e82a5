import Foundation

/// What a model's own chat template (Jinja text) says about the prompt template to use.
///
/// A text counts as recognised only when it is, byte for byte, one that was rendered by transformers
/// and gave what the prompt template of that name gives (reference/template_goldens.py). Anything else
/// may differ in a space or in a system message of its own, so its marks only make a suggestion.
public enum ChatTemplate {
    /// The prompt template that a known chat template equals for one user turn; nil for any other.
    public static func recognised(_ jinja: String) -> String? {
        known[fingerprint(jinja)]
    }

    /// The prompt template whose marks stand in a chat template; nil where none do.
    ///
    /// A guess for messages to people: the text may put a system message first, or more.
    public static func suggestion(_ jinja: String) -> String? {
        marks.first { _, marks in marks.allSatisfy { jinja.contains($0) } }?.name
    }

    /// Of the text without white space at its ends: editors and converters change no more than that.
    static func fingerprint(_ jinja: String) -> String {
        var hash = Fingerprint.Hash()
        hash.add(jinja.trimmingCharacters(in: .whitespacesAndNewlines))
        return hash.text
    }

    /// Marks by template, the most telling first.
    private static let marks: [(name: String, marks: [String])] = [
        ("llama3", ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]),
        ("gemma", ["<start_of_turn>", "<end_of_turn>"]),
        ("chatml", ["<|im_start|>", "<|im_end|>"]),
        ("phi3", ["<|user|>", "<|end|>", "<|assistant|>"]),
        ("zephyr", ["<|user|>", "<|assistant|>", "eos_token"]),
        ("llama2", ["[INST]", "<<SYS>>"]),
        ("mistral", ["[INST]", "[/INST]"]),
        ("alpaca", ["### Instruction:", "### Response:"]),
    ]

    /// The chat template among a model directory's files: `chat_template.jinja`, else the key
    /// `chat_template` of `tokenizer_config.json`; nil when there is none.
    ///
    /// - Throws: `TokenizerError` when a file cannot be read or is not what it should be.
    public static func text(directory: URL) throws -> String? {
        let file = directory.appendingPathComponent("chat_template.jinja")
        if FileManager.default.fileExists(atPath: file.path) {
            let bytes = try FileBytes.read(file, limit: byteLimit)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw TokenizerError.malformed(
                    path: file.path,
                    place: "the text",
                    reason: "it is not UTF-8"
                )
            }
            return text
        }
        let settings = directory.appendingPathComponent("tokenizer_config.json")
        guard FileManager.default.fileExists(atPath: settings.path) else { return nil }
        let value = try JSONReader.read(settings)["chat_template"]
        if let text = value?.stringValue { return text }
        // Older files list several by name.
        for entry in value?.arrayValue ?? [] where entry["name"]?.stringValue == "default" {
            return entry["template"]?.stringValue
        }
        return nil
    }

    /// Real ones stay below 20 kB.
    private static let byteLimit = 4 << 20
}

extension PromptTemplate {
    /// The template of that name, where `auto` is the one that a model's own chat template equals.
    ///
    /// - Parameters:
    ///   - chatTemplate: The model's own, asked for only when the name is `auto`.
    ///   - model: The model's path, for the message.
    /// - Throws: `TokenizerError.unknownName`; `.noTemplate` when there is none to be sure of.
    public static func named(
        _ name: String,
        model: String,
        chatTemplate: () throws -> String?
    ) throws -> PromptTemplate {
        guard name == automatic else { return try named(name) }
        guard let text = try chatTemplate() else {
            throw TokenizerError.noTemplate(
                path: model,
                reason: "it has no chat template",
                near: nil
            )
        }
        if let known = ChatTemplate.recognised(text) { return try named(known) }
        throw TokenizerError.noTemplate(
            path: model,
            reason: "its chat template is none of the known ones",
            near: ChatTemplate.suggestion(text)
        )
    }

    /// The name that asks for the model's own template.
    public static let automatic = "auto"
}

import Extract
import Foundation
import Models
import Tokenizers

/// A model with its tokenizer as one GGUF file.
enum GGUFExport {
    /// - Parameter url: Replaced if it is there.
    /// - Throws: `ModelError`, `TokenizerError`.
    static func write(_ checkpoint: Checkpoint, type: WeightType, to url: URL) throws {
        let tokenizer = try Tokenizer(checkpoint)
        let vocabulary = try GGMLVocabulary(
            tokenizer,
            rows: checkpoint.configuration.vocabularySize,
            path: checkpoint.url.path
        )
        let conditional = tokenizer.conditionalTokens
        if let first = conditional.first {
            Console.say(
                "note: \(conditional.count) added tokens, \(JSONLine.quoted(first)) the first, are found by "
                    + "what stands beside them or by the text's normal form; a GGUF file has no place for "
                    + "that, and texts with them may get other ids"
            )
        }
        var entries = vocabulary.entries
        if let padding = tokenizer.padding {
            entries.append(("tokenizer.ggml.padding_token_id", .u32(padding)))
        }
        if let chat = try ChatTemplate.text(modelAt: checkpoint.url) {
            entries.append(("tokenizer.chat_template", .string(chat)))
        }
        try exportGGUF(
            checkpoint,
            tokenizer: entries,
            name: name(of: checkpoint.url),
            type: type,
            to: url
        )
    }

    /// A file's without its ending; a directory's whole, for that may well have a dot: SmolLM2-1.7B.
    private static func name(of url: URL) -> String {
        let isFile = url.pathExtension.lowercased() == "gguf"
        return (isFile ? url.deletingPathExtension() : url).lastPathComponent
    }
}

extension GGMLVocabulary {
    /// The metadata of a GGUF file that hold it.
    fileprivate var entries: [(key: String, value: GGUFEntry)] {
        var entries: [(key: String, value: GGUFEntry)] = [
            ("model", .string(model)), ("pre", .string(pre ?? "default")),
            ("tokens", .strings(tokens)), ("token_type", .i32s(tokenTypes)),
        ]
        if !scores.isEmpty { entries.append(("scores", .f32s(scores))) }
        if !merges.isEmpty { entries.append(("merges", .strings(merges))) }
        for (key, id) in [
            ("bos_token_id", bos), ("eos_token_id", eos), ("unknown_token_id", unknown),
        ] {
            if let id { entries.append((key, .u32(UInt32(clamping: id)))) }
        }
        for (key, flag) in [
            ("add_bos_token", addBOS), ("add_eos_token", addEOS),
            ("add_space_prefix", addSpacePrefix),
        ] {
            if let flag { entries.append((key, .bool(flag))) }
        }
        return entries.map { ("tokenizer.ggml.\($0.key)", $0.value) }
    }
}

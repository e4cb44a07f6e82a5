import Extract
import Foundation
import Models
import Tokenizers

/// The files of a model that are not its weights or sizes, in a new directory.
enum TokenizerFiles {
    /// What tokenizer, chat template and generation need, as transformers names it.
    private static let names = [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
    ]
    private static let byteLimit = 512 << 20

    /// Copies a directory's files byte for byte; of a GGUF file what is in it is written out.
    ///
    /// - Parameters:
    ///   - source: A Hugging Face directory, a GGUF file, or an adapter that holds its base model.
    ///   - generation: Whether `generation_config.json` comes too.
    /// - Throws: `Failure`, `ModelError`, `TokenizerError`.
    static func copy(from source: URL, to directory: URL, generation: Bool = true) throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        switch try ModelLocation(source) {
        case .gguf:
            try Tokenizer(contentsOf: source).write(to: directory)
            if let chat = try ChatTemplate.text(modelAt: source) {
                try ModelDirectory.write(chatTemplate: chat, to: directory)
            }
        case .directory(let base), .adapter(_, let base):
            for name in names + (generation ? ["generation_config.json"] : []) {
                try copy(name, from: base, to: directory)
            }
        }
    }

    private static func copy(_ name: String, from base: URL, to directory: URL) throws {
        // Files of a download cache are links.
        let file = base.appendingPathComponent(name).resolvingSymlinksInPath()
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: file.path) else {
            return
        }
        let size = (attributes[.size] as? NSNumber)?.intValue ?? 0
        guard attributes[.type] as? FileAttributeType == .typeRegular, size <= byteLimit else {
            throw Failure(
                "\(file.path): not a file of at most 512 MiB",
                code: Failure.Code.badData
            )
        }
        try Data(contentsOf: file).write(
            to: directory.appendingPathComponent(name),
            options: .atomic
        )
    }
}

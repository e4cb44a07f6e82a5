import Foundation
import Models
import Tokenizers

extension Tokenizer {
    /// The tokenizer of a model: the files of its directory, or the vocabulary inside its GGUF file.
    ///
    /// - Throws: What the tokenizer or the GGUF metadata is wrong about.
    public init(_ checkpoint: Checkpoint) throws {
        guard let file = checkpoint.gguf else {
            try self.init(contentsOf: checkpoint.url)
            return
        }
        try self.init(file)
    }

    /// The tokenizer in a GGUF file, which need not hold any weights.
    ///
    /// - Throws: `ModelError` for missing keys, `TokenizerError` naming the file.
    public init(_ file: GGUFFile) throws {
        var ggml = GGMLVocabulary(
            model: try file.string("tokenizer.ggml.model"),
            pre: try? file.string("tokenizer.ggml.pre"),
            tokens: try file.strings("tokenizer.ggml.tokens"),
            tokenTypes: ((try? file.ints("tokenizer.ggml.token_type")) ?? []).map {
                Int32(clamping: $0)
            },
            merges: (try? file.strings("tokenizer.ggml.merges")) ?? [],
            bos: try? file.int("tokenizer.ggml.bos_token_id"),
            eos: try? file.int("tokenizer.ggml.eos_token_id"),
            unknown: try? file.int("tokenizer.ggml.unknown_token_id"),
            addBOS: try? file.bool("tokenizer.ggml.add_bos_token")
        )
        ggml.architecture = (try? file.string("general.architecture")) ?? ""
        ggml.scores = (try? file.floats("tokenizer.ggml.scores")) ?? []
        ggml.addEOS = try? file.bool("tokenizer.ggml.add_eos_token")
        ggml.addSpacePrefix = try? file.bool("tokenizer.ggml.add_space_prefix")
        ggml.path = file.path
        try self.init(ggml: ggml)
    }

    /// The tokenizer at a path, whether or not there are weights with it.
    ///
    /// - Parameter url: A Hugging Face directory, or a GGUF file that may hold a vocabulary only.
    /// - Throws: `ModelError`, `TokenizerError`.
    public init(contentsOf url: URL) throws {
        switch try ModelLocation(url) {
        case .gguf(let path): try self.init(GGUFFile(path: path))
        case .directory(let directory), .adapter(_, base: let directory):
            try self.init(directory: directory)
        }
    }
}

extension PromptTemplate {
    /// The template of that name; `auto` is the one that the model's own chat template equals.
    ///
    /// - Parameters:
    ///   - name: One of `names`, or `auto`.
    ///   - url: A Hugging Face directory or a GGUF file; looked at for `auto` only.
    /// - Throws: `TokenizerError`: `.unknownName`, or `.noTemplate`, which says what to set.
    public static func named(_ name: String, modelAt url: URL) throws -> PromptTemplate {
        try named(name, model: url.path) { try ChatTemplate.text(modelAt: url) }
    }
}

extension ChatTemplate {
    /// A model's own chat template: of its directory, or inside its GGUF file; nil when it has none.
    ///
    /// - Throws: `ModelError`, `TokenizerError`.
    public static func text(modelAt url: URL) throws -> String? {
        switch try ModelLocation(url) {
        case .gguf(let path):
            return try? GGUFFile(path: path).string("tokenizer.chat_template")
        case .directory(let directory), .adapter(_, base: let directory):
            return try text(directory: directory)
        }
    }
}

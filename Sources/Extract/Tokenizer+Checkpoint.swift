import Foundation
import Models
import Tokenizers

extension Tokenizer {
    /// The tokenizer of a model: the files of its directory, or the vocabulary inside its GGUF file.
    ///
    /// - Throws: What the tokenizer or the GGUF metadata is wrong about.
    public init(_ checkpoint: Checkpoint) throws {
        guard let file = checkpoint.gguf else {
            try self.init(directory: checkpoint.url)
            return
        }
        try self.init(
            ggml: GGMLVocabulary(
                model: try file.string("tokenizer.ggml.model"),
                pre: (try? file.string("tokenizer.ggml.pre")) ?? "default",
                tokens: try file.strings("tokenizer.ggml.tokens"),
                tokenTypes: ((try? file.ints("tokenizer.ggml.token_type")) ?? []).map {
                    Int32(clamping: $0)
                },
                merges: (try? file.strings("tokenizer.ggml.merges")) ?? [],
                bos: try? file.int("tokenizer.ggml.bos_token_id"),
                eos: try? file.int("tokenizer.ggml.eos_token_id"),
                unknown: try? file.int("tokenizer.ggml.unknown_token_id"),
                padding: try? file.int("tokenizer.ggml.padding_token_id"),
                addBOS: (try? file.bool("tokenizer.ggml.add_bos_token")) ?? false
            )
        )
    }
}

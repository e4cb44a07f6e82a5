import Extract
import Foundation
import Models
import Tokenizers

/// Opens a model with its tokenizer, for every command that runs one.
enum ModelLoading {
    /// - Parameter path: A Hugging Face directory or a GGUF file.
    /// - Throws: `ModelError` and `TokenizerError`; `Failure` (65) when the tokenizer has more tokens than
    ///   the embedding rows.
    static func load(_ path: String) throws -> (model: TransformerModel, tokenizer: Tokenizer) {
        let checkpoint = try Checkpoint(URL(fileURLWithPath: path))
        let tokenizer = try Tokenizer(checkpoint)
        let rows = checkpoint.configuration.vocabularySize
        guard tokenizer.vocabularySize <= rows else {
            throw Failure(
                "\(path): the tokenizer has \(tokenizer.vocabularySize) tokens, the model's embedding "
                    + "\(rows) rows; they do not belong together",
                code: Failure.Code.badData
            )
        }
        return (try checkpoint.model(), tokenizer)
    }

    /// Says how many prompts are too long for a model: they get an empty answer.
    static func warn(_ prompts: [[UInt32]], tooLongFor model: TransformerModel) {
        let limit = model.configuration.maxPositions
        let count = prompts.count { $0.count > limit }
        guard count > 0 else { return }
        Console.say(
            "\(count) prompts are longer than the model's \(limit) positions; left unanswered"
        )
    }
}

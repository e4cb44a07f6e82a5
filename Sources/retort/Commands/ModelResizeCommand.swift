import ArgumentParser
import Extract
import Foundation
import Models
import Tokenizers

extension ModelCommand {
    /// A model whose tokenizer grew.
    struct Resize: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Give a model's embedding and head rows for the tokens that its tokenizer gained.",
            discussion: """
                The new tokenizer must have every token of the model's own under the same id. A new \
                token's row is the mean of those that were there, in the embedding and in a head of its own.

                Example:
                  retort model resize models/base --tokenizer models/grown --output runs/resized
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(help: "A directory or GGUF file with the grown tokenizer.")
        var tokenizer: String

        @Option(help: "The directory to make.")
        var output: String

        @Option(help: "Rounds the embedding's rows up to a multiple.")
        var padVocabulary = 1

        @Option(help: "f32, bf16 or f16.")
        var type = ExportType.f32

        func validate() throws {
            guard type != .q8 else { throw ValidationError("--type is f32, bf16 or f16.") }
            guard (1...65_536).contains(padVocabulary) else {
                throw ValidationError("--pad-vocabulary is 1 to 65536.")
            }
        }

        func run() throws {
            try Signals.stoppingAtOnce { try write() }
        }

        private func write() throws {
            try ModelDirectory.refuseExisting(output)
            let (url, grownURL) = (URL(fileURLWithPath: model), URL(fileURLWithPath: tokenizer))
            let checkpoint = try Checkpoint(url)
            let (old, grown) = (try Tokenizer(checkpoint), try Tokenizer(contentsOf: grownURL))
            if let changed = (0..<UInt32(old.vocabularySize)).first(where: {
                old.piece($0) != grown.piece($0)
            }) {
                throw Failure(
                    "\(tokenizer): token \(changed) is \(JSONLine.quoted(grown.piece(changed))), and "
                        + "\(JSONLine.quoted(old.piece(changed))) in \(model); only a tokenizer with "
                        + "all of the old tokens under their ids fits the model's rows",
                    code: Failure.Code.badData
                )
            }
            let resized = try checkpoint.resized(
                tokens: old.vocabularySize,
                to: grown.vocabularySize,
                multipleOf: padVocabulary
            )
            try ModelDirectory.fill(output) { directory in
                try TokenizerFiles.copy(from: grownURL, to: directory, generation: false)
                try exportHuggingFace(
                    resized.weights,
                    resized.configuration,
                    to: directory,
                    type: type.weightType
                )
            }
            Console.say(
                "\(output): \(grown.vocabularySize - old.vocabularySize) new tokens, "
                    + "\(resized.configuration.vocabularySize) rows, where there were "
                    + "\(checkpoint.configuration.vocabularySize)"
            )
        }
    }
}

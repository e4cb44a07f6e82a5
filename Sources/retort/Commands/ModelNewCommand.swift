import ArgumentParser
import Foundation

extension ModelCommand {
    /// A student from scratch.
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a student with random weights.",
            discussion: """
                The tokenizer is trained on the training texts of a cache or of a JSON Lines file \
                (--texts), or taken from a directory or a GGUF file (--tokenizer): then the embedding has \
                as many rows as that has tokens.

                Examples:
                  retort model new --texts runs/quickstart/cache --output runs/student \\
                    --vocabulary 8192 --hidden-size 384 --layers 5 --heads 6
                  retort model new --architecture qwen3 --tokenizer models/smollm2-135m-instruct.gguf \\
                    --hidden-size 256 --layers 8 --heads 8 --kv-heads 2 --head-size 64 --output runs/small
                """
        )

        @Option(help: "A cache directory, or a JSON Lines file, whose texts train a tokenizer.")
        var texts: String?

        @Option(help: "A directory or GGUF file whose tokenizer is taken.")
        var tokenizer: String?

        @Option(help: "The directory to make.")
        var output: String

        @OptionGroup var shape: StudentShape

        func validate() throws {
            guard (texts == nil) != (tokenizer == nil) else {
                throw ValidationError(
                    "Give either --texts to train a tokenizer or --tokenizer to take one."
                )
            }
            guard tokenizer == nil || shape.vocabulary == nil else {
                throw ValidationError(
                    "--vocabulary is for a tokenizer that is trained, not for one from --tokenizer."
                )
            }
        }

        func run() throws {
            var settings = shape.settings
            settings.tokenizer = tokenizer
            try Signals.stoppingAtOnce {
                try StudentMaker.new(texts: texts, output: output, shape: settings)
            }
        }
    }
}

/// The family and sizes of a new student on the command line.
struct StudentShape: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "\(StudentSettings.New.architectures.joined(separator: ", "))."
        )
    )
    var architecture = StudentSettings.New().architecture

    @Option(
        help: "Tokens of the trained vocabulary (default: \(StudentSettings.New().vocabulary))."
    )
    var vocabulary: Int?

    @Option(help: "Rounds the embedding's rows up to a multiple.")
    var padVocabulary = StudentSettings.New().padVocabulary

    @Option(help: "Channels.")
    var hiddenSize = StudentSettings.New().hiddenSize

    @Option(help: "Layers.")
    var layers = StudentSettings.New().layers

    @Option(help: "Attention heads.")
    var heads = StudentSettings.New().heads

    @Option(help: "Heads of keys and values (default: as many as heads).")
    var kvHeads: Int?

    @Option(help: "Channels of a head (default: hidden size / heads).")
    var headSize: Int?

    @Option(
        help:
            "Channels inside the feed-forward layer (default: 4 hidden sizes for gpt2, else 8/3 in whole 64s)."
    )
    var intermediateSize: Int?

    @Option(help: "Longest sequence in tokens.")
    var positions = StudentSettings.New().positions

    @Flag(inversion: .prefixedNo, help: "Whether the head is the embedding.")
    var tied = StudentSettings.New().tied

    @Option(help: "The prompt template whose special tokens a trained tokenizer gets.")
    var template = StudentSettings.New().template

    @Option(help: "The same seed gives the same weights.")
    var seed: UInt64 = 1

    var settings: StudentSettings.New {
        var new = StudentSettings.New()
        new.architecture = architecture
        new.vocabulary = vocabulary ?? new.vocabulary
        new.padVocabulary = padVocabulary
        new.hiddenSize = hiddenSize
        new.layers = layers
        new.heads = heads
        new.kvHeads = kvHeads
        new.headSize = headSize
        new.intermediateSize = intermediateSize
        new.positions = positions
        new.tied = tied
        new.template = template
        new.seed = seed
        return new
    }
}

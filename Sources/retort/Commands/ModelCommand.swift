import ArgumentParser
import Cache
import Extract
import Foundation
import Models
import Tokenizers

/// Makes and looks at models.
struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Make students and look at models.",
        subcommands: [Info.self, New.self, Prune.self, Logits.self]
    )

    /// A student from scratch.
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Make a GPT-2 student from scratch, with a tokenizer trained on a cache's texts.",
            discussion: """
                No other architecture is made from sizes: cut a model with `retort model prune`, or
                distil into any model's directory.

                Example:
                  retort model new --texts runs/quickstart/cache --output runs/student \\
                    --vocabulary 8192 --hidden-size 384 --layers 5 --heads 6
                """
        )

        @Option(help: "A cache directory, or a JSON Lines file of prompts and responses.")
        var texts: String

        @Option(help: "The directory to make.")
        var output: String

        @OptionGroup var shape: StudentShape

        func run() throws {
            try StudentMaker.new(texts: texts, output: output, shape: shape.settings)
        }
    }

    /// A student cut from another model.
    struct Prune: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a student that keeps some layers of a model, and its vocabulary.",
            discussion: """
                Example:
                  retort model prune models/smollm2-135m-instruct.gguf --layers 0,1,14,28,29 \\
                    --output runs/pruned
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(help: "The layers to keep, counted from 0, with commas between.")
        var layers: String

        @Option(help: "The directory to make.")
        var output: String

        func run() throws {
            let numbers = layers.split(separator: ",").map {
                Int($0.trimmingCharacters(in: .whitespaces))
            }
            guard !numbers.isEmpty, !numbers.contains(nil) else {
                throw ValidationError("--layers takes numbers with commas between, such as 0,1,29")
            }
            try StudentMaker.prune(model, layers: numbers.compactMap { $0 }, output: output)
        }
    }
}

/// The sizes of a new student on the command line.
struct StudentShape: ParsableArguments {
    @Option(help: "Tokens of the vocabulary.")
    var vocabulary = StudentSettings.New().vocabulary

    @Option(help: "Channels.")
    var hiddenSize = StudentSettings.New().hiddenSize

    @Option(help: "Layers.")
    var layers = StudentSettings.New().layers

    @Option(help: "Attention heads.")
    var heads = StudentSettings.New().heads

    @Option(help: "Longest sequence in tokens.")
    var positions = StudentSettings.New().positions

    @Option(help: "The prompt template whose special tokens the tokenizer gets.")
    var template = StudentSettings.New().template

    @Option(help: "The same seed gives the same weights.")
    var seed: UInt64 = 1

    var settings: StudentSettings.New {
        var new = StudentSettings.New()
        new.vocabulary = vocabulary
        new.hiddenSize = hiddenSize
        new.layers = layers
        new.heads = heads
        new.positions = positions
        new.template = template
        new.seed = seed
        return new
    }
}

import ArgumentParser
import Foundation
import Models

extension ModelCommand {
    /// A model with a LoRA adapter made part of it.
    struct Merge: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Merge a LoRA adapter into its base model.",
            discussion: """
                W + scale B A is computed in f32, weight by weight, and written as a Hugging Face \
                directory with the base model's tokenizer files.

                Example:
                  retort model merge models/base --adapter runs/lora/student --output runs/merged
                """
        )

        @Argument(help: "The base model: a Hugging Face directory or a GGUF file.")
        var base: String

        @Option(help: "The adapter, as PEFT saves it.")
        var adapter: String

        @Option(help: "The directory to make.")
        var output: String

        @Option(help: "f32, bf16 or f16.")
        var type = ExportType.f32

        func validate() throws {
            guard type != .q8 else { throw ValidationError("--type is f32, bf16 or f16.") }
        }

        func run() throws {
            try Signals.stoppingAtOnce { try write() }
        }

        private func write() throws {
            try ModelDirectory.refuseExisting(output)
            let url = URL(fileURLWithPath: base)
            let checkpoint = try Checkpoint(url, adapter: URL(fileURLWithPath: adapter))
            let weights = try checkpoint.streamedWeights()
            try ModelDirectory.fill(output) { directory in
                try TokenizerFiles.copy(from: url, to: directory)
                try exportHuggingFace(
                    weights,
                    checkpoint.configuration,
                    to: directory,
                    type: type.weightType
                )
            }
            Console.say("\(output): \(checkpoint.configuration.modelType), \(type.rawValue)")
        }
    }
}

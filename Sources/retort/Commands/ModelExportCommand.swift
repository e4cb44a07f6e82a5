import ArgumentParser
import Foundation
import Models

/// Types of weights that a model is written in.
enum ExportType: String, ExpressibleByArgument, CaseIterable {
    case f32, f16, bf16
    case q8 = "q8_0"

    var weightType: WeightType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .q8: .q8_0
        }
    }
}

extension ModelCommand {
    /// A model as a GGUF file.
    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a model as a GGUF file, as llama.cpp reads it.",
            discussion: """
                Families: gpt2, llama, mistral, qwen2, qwen3. Matrices are written in the type given, \
                vectors as f32. The tokenizer and the chat template are in the file; a tokenizer that cuts \
                words in a way that llama.cpp has no name for is refused.

                Example:
                  retort model export runs/quickstart/dskd/student --output student.gguf --type q8_0
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(help: "The GGUF file to write.")
        var output: String

        @Option(help: "f32, f16 or q8_0.")
        var type = ExportType.f16

        @Option(help: "A PEFT adapter that is merged in.")
        var adapter: String?

        @Flag(help: "Write over an output that is there.")
        var replace = false

        func validate() throws {
            guard type != .bf16 else { throw ValidationError("--type is f32, f16 or q8_0.") }
        }

        func run() throws {
            let checkpoint = try Checkpoint(
                URL(fileURLWithPath: model),
                adapter: adapter.map { URL(fileURLWithPath: $0) }
            )
            try OutputFile.check(
                output,
                replace: replace,
                sources: [model] + checkpoint.files.map(\.path)
            )
            let url = URL(fileURLWithPath: output)
            try Signals.stoppingAtOnce {
                try GGUFExport.write(checkpoint, type: type.weightType, to: url)
            }
            let size = (try FileManager.default.attributesOfItem(atPath: output))[.size]
            Console.say(
                "\(output): \(checkpoint.configuration.modelType), \(type.rawValue), "
                    + ProgressLine.bytes((size as? NSNumber)?.intValue ?? 0)
            )
        }
    }
}

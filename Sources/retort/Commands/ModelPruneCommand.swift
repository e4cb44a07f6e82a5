import ArgumentParser
import Foundation

extension ModelCommand {
    /// A student cut from another model.
    struct Prune: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Make a student that keeps some layers and channels of a model, and its vocabulary.",
            discussion: """
                What stays of the width is what matters most on a sample of texts (Muralidharan and others \
                2024, arXiv 2407.14679): feed-forward channels by the mean of |activation| before the \
                projection down, heads by the mean length of their output, channels of the residual stream \
                by the mean of |output of the norms|. The first 256 examples are measured, the first 512 \
                tokens of each. The whole model is held in memory as f32 meanwhile.

                Examples:
                  retort model prune models/smollm2-135m-instruct.gguf --layers 0-3,14,28-29 \\
                    --output runs/pruned
                  retort model prune models/smollm2-135m-instruct.gguf --keep 15 \\
                    --intermediate-size 1024 --kv-heads 2 --sample runs/quickstart/cache \\
                    --output runs/narrow
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(
            help:
                "The layers to keep, counted from 0: numbers and ranges with commas, such as 0-3,29."
        )
        var layers: String?

        @Option(help: "How many layers to keep, evenly spaced from the first to the last.")
        var keep: Int?

        @Option(help: "Channels of the feed-forward layers to keep.")
        var intermediateSize: Int?

        @Option(help: "Heads to keep: whole groups, unless --kv-heads is given too.")
        var heads: Int?

        @Option(help: "Heads of keys and values to keep, each with its group of heads.")
        var kvHeads: Int?

        @Option(help: "Channels of the residual stream to keep.")
        var hiddenSize: Int?

        @Option(help: "A cache or JSON Lines file of texts; needed when the width is cut.")
        var sample: String?

        @Option(help: "The directory to make.")
        var output: String

        func run() throws {
            var settings = StudentSettings.Prune()
            if let layers {
                guard let ranges = LayerRange.list(layers) else {
                    throw ValidationError(
                        "--layers takes numbers and ranges with commas between, such as 0-3,29"
                    )
                }
                settings.layers = ranges
            }
            settings.keep = keep
            settings.intermediateSize = intermediateSize
            settings.heads = heads
            settings.kvHeads = kvHeads
            settings.hiddenSize = hiddenSize
            settings.sample = sample
            try settings.validate()
            guard sample != nil || !settings.cutsWidth else {
                throw ValidationError("Give --sample, on whose texts importance is measured.")
            }
            try Signals.stoppingAtOnce {
                try StudentMaker.prune(model, settings, output: output)
            }
        }
    }
}

import ArgumentParser
import Distill
import Foundation

/// Stage three.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measure models on the held-out part of a cache.",
        discussion: """
            Prints a table: loss and perplexity, KL to the cached teacher, ROUGE-L of generated answers.
            KL compares whole vocabularies where student and teacher have the same one. KL of the next \
            byte compares, where both have a token boundary, the probabilities of what byte comes next: \
            it is defined for any two vocabularies.

            Example:
              retort eval runs/quickstart/sft/student runs/quickstart/dskd/student \\
                --cache runs/quickstart/cache
            """
    )

    @Argument(help: "Hugging Face directories.")
    var models: [String]

    @Option(help: "The cache directory.")
    var cache: String

    @Option(help: "Where the figures go as JSON.")
    var output: String?

    @Option(help: "The split to measure on.")
    var split = EvalSettings().split

    @Option(help: "Only the first N examples.")
    var limit: Int?

    @Flag(help: "Leave out generation and with it ROUGE-L.")
    var noGenerate = false

    @Option(help: "Most tokens of an answer.")
    var maxNewTokens = EvalSettings().maxNewTokens

    @Option(help: "Of the sampling; 0 is greedy.")
    var temperature = EvalSettings().temperature

    @Option(help: "Of the sampling.")
    var seed = EvalSettings().seed

    @Flag(name: .customLong("json"), help: "Print JSON instead of the table.")
    var isJSON = false

    func run() throws {
        var settings = EvalSettings()
        settings.split = split
        settings.limit = limit
        settings.generate = !noGenerate
        settings.maxNewTokens = maxNewTokens
        settings.temperature = temperature
        settings.seed = seed
        let file = try EvalStage.run(
            cache: cache,
            models: models.map { ($0, $0) },
            settings: settings,
            output: output.map { URL(fileURLWithPath: $0) }
        )
        Console.print(isJSON ? try jsonText(file) : EvalReport.table(file.reports))
    }
}

import ArgumentParser
import Distill
import Foundation

/// Stage three.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measure models on the held-out part of a cache.",
        discussion: """
            Prints a table: loss and perplexity, KL to the cached teacher and how often both agree, expected \
            calibration error, ROUGE-L and exact match of generated answers; --json and --output have more \
            (reverse KL, calibration by bins, 95 % intervals).
            KL compares whole vocabularies where student and teacher have the same one. KL of the next \
            byte compares, where both have a token boundary, the probabilities of what byte comes next: \
            it is defined for any two vocabularies.

            With --score-only no model runs: answers of any origin, one {"prediction": …} a line, are held \
            against {"references": […]} of the same line. ROUGE-L is rouge_score's with Porter stems, exact \
            match Super-NaturalInstructions'; of several references the nearest counts.

            Examples:
              retort eval runs/quickstart/sft runs/quickstart/dskd \\
                --cache runs/quickstart/cache --baseline runs/quickstart/sft
              retort eval --score-only predictions.jsonl references.jsonl --json
            """
    )

    @Argument(
        help:
            "Runs or Hugging Face directories; with --score-only the predictions and the references."
    )
    var models: [String]

    @Option(help: "The cache directory.")
    var cache: String?

    @Option(help: "One of the models: the others are marked where they are surely better or worse.")
    var baseline: String?

    @Flag(help: "Score texts: PREDICTIONS.jsonl REFERENCES.jsonl.")
    var scoreOnly = false

    @Option(help: "With --score-only: where each answer's own scores go, one a line.")
    var scores: String?

    @Flag(help: "With --score-only: write over files that are there.")
    var replace = false

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

    func validate() throws {
        if scoreOnly {
            guard models.count == 2 else {
                throw ValidationError("--score-only takes PREDICTIONS.jsonl and REFERENCES.jsonl")
            }
            guard cache == nil, baseline == nil else {
                throw ValidationError("--score-only reads no cache and has no baseline")
            }
        } else {
            guard cache != nil else {
                throw ValidationError("give the cache with --cache, or --score-only for texts")
            }
            guard scores == nil, !replace else {
                throw ValidationError("--scores and --replace go with --score-only")
            }
        }
    }

    func run() throws {
        if scoreOnly { return try score() }
        var settings = EvalSettings()
        settings.split = split
        settings.limit = limit
        settings.baseline = baseline
        settings.generate = !noGenerate
        settings.maxNewTokens = maxNewTokens
        settings.temperature = temperature
        settings.seed = seed
        let file = try EvalStage.run(
            cache: cache ?? "",
            models: models.map { ($0, Self.student($0)) },
            settings: settings,
            output: output.map { URL(fileURLWithPath: $0) }
        )
        Console.print(isJSON ? try jsonText(file) : EvalTable(file.reports).text)
    }

    /// A run's directory stands for its student.
    private static func student(_ path: String) -> String {
        let manager = FileManager.default
        let student = path + "/student"
        let isRun =
            manager.fileExists(atPath: student + "/config.json")
            && !manager.fileExists(atPath: path + "/config.json")
        return isRun ? student : path
    }

    private func score() throws {
        let stage = ScoreStage(predictions: models[0], references: models[1])
        for path in [output, scores].compactMap({ $0 }) {
            try OutputFile.check(path, replace: replace, sources: models)
        }
        let (summary, all) = try stage.run()
        if let scores { try stage.write(all, to: scores) }
        let json = try jsonText(summary)
        if let output { try RunFiles.write(Data(json.utf8), to: URL(fileURLWithPath: output)) }
        Console.print(isJSON ? json : summary.table)
    }
}

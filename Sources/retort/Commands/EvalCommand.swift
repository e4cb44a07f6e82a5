import ArgumentParser
import Distill
import Foundation
import Models
import Report

/// Stage three.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Measure models on the held-out part of a cache.",
        discussion: """
            Prints a table: loss and perplexity, KL to the cached teacher and how often both agree, expected \
            calibration error (ECE), how alike both arrange their states (CKA), ROUGE-L and exact match of generated \
            answers; --json and --output have more (reverse KL, calibration by bins, 95 % intervals). "aligned" is \
            the share of a dskd_cma student's tokens whose strongest teacher token has the same characters.
            Beside --output eval.json come eval.examples.jsonl (each example's answers and figures) and \
            eval.maps.json, which `retort report` shows.
            KL compares whole vocabularies where student and teacher have the same one. KL of the next \
            byte compares, where both have a token boundary, the probabilities of what byte comes next: \
            it is defined for any two vocabularies.

            With --score-only no model runs: answers of any origin, one {"prediction": …} a line, are held \
            against {"references": […]} of the same line. ROUGE-L is rouge_score's with Porter stems, exact \
            match Super-NaturalInstructions'; of several references the nearest counts.

            With --data models answer prompts of a file ({"prompt" or "instruction", "input", "output"} a line, \
            "output" a text or a list): greedily, and sampled at temperature 1 once for each of five seeds, \
            whose mean and deviation the papers report.

            Examples:
              retort eval runs/quickstart/sft runs/quickstart/dskd \\
                --cache runs/quickstart/cache --baseline runs/quickstart/sft
              retort eval runs/quickstart/sft runs/quickstart/dskd --data test.jsonl --answers answers
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

    @Option(help: "Prompts with references, JSON Lines, in the place of a cache.")
    var data: String?

    @Option(help: "With --data: seeds of the sampling, as in 10,20,30; none leaves it out.")
    var seeds = "10,20,30,40,50"

    @Option(help: "With --data: prompt template (default: the run's own, or what the model says).")
    var template: String?

    @Option(help: "With --data: choose among the tokens that together have this probability.")
    var topP: Float = 1

    @Option(help: "With --data: no run of so many tokens occurs twice in an answer; 0 allows it.")
    var noRepeatNgram = 6

    @Option(help: "With --data: a directory that gets the answers with their scores.")
    var answers: String?

    @Flag(help: "Score texts: PREDICTIONS.jsonl REFERENCES.jsonl.")
    var scoreOnly = false

    @Option(help: "With --score-only: where each answer's own scores go, one a line.")
    var scores: String?

    @Flag(help: "Write over files that are there; those of an earlier measurement are in any case.")
    var replace = false

    @Option(help: "Where the figures go as JSON.")
    var output: String?

    @Option(help: "The split to measure on.")
    var split = EvalSettings().split

    @Option(help: "Only the first N examples.")
    var limit: Int?

    @Flag(help: "Leave out generation and with it ROUGE-L.")
    var noGenerate = false

    @Option(help: "Most tokens of an answer (default: 128; 256 with --data).")
    var maxNewTokens: Int?

    @Option(help: "Of the sampling; 0 is greedy (default: 0; 1 with --data, besides greedy).")
    var temperature: Float?

    @Option(help: "Of the sampling.")
    var seed = EvalSettings().seed

    @Flag(name: .customLong("json"), help: "Print JSON instead of the table.")
    var isJSON = false

    func validate() throws {
        if scoreOnly {
            guard models.count == 2 else {
                throw ValidationError("--score-only takes PREDICTIONS.jsonl and REFERENCES.jsonl")
            }
            guard cache == nil, baseline == nil, data == nil else {
                throw ValidationError(
                    "--score-only reads no cache and no --data, and has no baseline"
                )
            }
        } else {
            guard (cache != nil) != (data != nil) else {
                throw ValidationError(
                    "give either --cache or --data; --score-only for texts that are there already"
                )
            }
            guard data != nil || (answers == nil && template == nil) else {
                throw ValidationError("--answers and --template go with --data")
            }
            guard limit ?? 1 > 0, (1...1_000_000).contains(maxNewTokens ?? 1),
                temperature ?? 1 >= 0, topP > 0, topP <= 1, noRepeatNgram >= 0
            else {
                throw ValidationError(
                    "--limit and --max-new-tokens must be positive, --temperature and --no-repeat-ngram "
                        + "not negative, --top-p above 0 and at most 1"
                )
            }
            guard seedNumbers != nil else {
                throw ValidationError("--seeds takes whole numbers with commas between, or none")
            }
            guard scores == nil else {
                throw ValidationError("--scores goes with --score-only")
            }
        }
    }

    func run() throws {
        if scoreOnly { return try score() }
        if let data { return try answer(data) }
        var settings = EvalSettings()
        settings.split = split
        settings.limit = limit
        settings.baseline = baseline
        settings.generate = !noGenerate
        settings.maxNewTokens = maxNewTokens ?? settings.maxNewTokens
        settings.temperature = temperature ?? settings.temperature
        settings.seed = seed
        let file = try EvalStage.run(
            cache: cache ?? "",
            models: try models.map { ($0, try Self.student($0)) },
            settings: settings,
            output: output.map { URL(fileURLWithPath: $0) },
            replace: replace
        )
        Console.print(isJSON ? try jsonText(file) : EvalTable(file.reports).text)
    }

    /// Nil where they are no numbers.
    private var seedNumbers: [UInt64]? {
        guard seeds != "none", !seeds.isEmpty else { return [] }
        let parts = seeds.split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt64($0.trimmingCharacters(in: .whitespaces)) }
        return numbers.count == parts.count ? numbers : nil
    }

    private func answer(_ data: String) throws {
        if let output { try OutputFile.check(output, replace: replace, sources: models + [data]) }
        var settings = EvalSettings()
        settings.baseline = baseline
        try settings.requireBaseline(among: models)
        let report = try AnswerEval(
            data: data,
            models: try models.map { ($0, try Self.student($0)) },
            seeds: seedNumbers ?? [],
            sampling: SamplingOptions(
                temperature: temperature ?? 1,
                topP: topP,
                noRepeatNgram: noRepeatNgram,
                maxNewTokens: maxNewTokens ?? 256
            ),
            template: template,
            limit: limit,
            baseline: baseline,
            answers: answers
        ).run()
        let json = try jsonText(report)
        if let output { try RunFiles.write(Data(json.utf8), to: URL(fileURLWithPath: output)) }
        Console.print(isJSON ? json : report.table)
    }

    /// A run's directory stands for its student.
    ///
    /// - Throws: `Failure` (66) for a pipeline's: the student there is the one that its runs began with.
    private static func student(_ path: String) throws -> String {
        let manager = FileManager.default
        let student = path + "/student"
        let url = URL(fileURLWithPath: path)
        guard manager.fileExists(atPath: student + "/config.json"),
            !manager.fileExists(atPath: path + "/config.json")
        else { return path }
        if !ReportRun.isRun(url), let runs = try? ReportRun.directories(at: path) {
            throw Failure(
                "\(path): a pipeline's directory; name its runs: "
                    + runs.map { "\(path)/\($0.lastPathComponent)" }.joined(separator: " "),
                code: Failure.Code.missing
            )
        }
        return student
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

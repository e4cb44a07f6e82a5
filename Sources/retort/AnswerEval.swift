import Distill
import Extract
import Foundation
import Models
import Scores
import Tokenizers

/// Answers of models to a file of prompts with references, as the papers measure them: sampled once a seed,
/// and greedily besides.
struct AnswerEval {
    /// Prompts and references of a JSON Lines file.
    let data: String
    /// A name and a directory or GGUF file each.
    let models: [(name: String, path: String)]
    /// Seeds of the sampling; none leaves it out.
    let seeds: [UInt64]
    /// How the sampled ones are drawn.
    let sampling: SamplingOptions
    /// The prompt template; nil takes the run's own, or what the model says.
    let template: String?
    /// The first so many prompts; nil for all.
    let limit: Int?
    /// The model that the others are compared with.
    let baseline: String?
    /// Where the answers are written; nil for nowhere.
    let answers: String?

    /// A prompt with what it is held against.
    private struct Question {
        let prompt: EvalPrompt
        let references: [String]
    }

    /// - Throws: `Failure` naming file and line, or with code 75 where a stop was asked for; `ModelError`,
    ///   `TokenizerError`.
    func run() throws -> AnswerReport {
        let questions = try questions()
        var report = AnswerReport(
            data: data,
            prompts: questions.count,
            baseline: baseline,
            models: []
        )
        var shares: [String: EvalShares] = [:]
        for (name, path) in models {
            let (found, greedy) = try evaluate(name, path, questions)
            report.models.append(found)
            for (index, score) in greedy.rougeL.enumerated() {
                shares[name, default: EvalShares()].add(.rougeL, "\(index)", sum: 100 * score)
            }
        }
        if let baseline, let base = shares[baseline] {
            for index in report.models.indices where report.models[index].name != baseline {
                let own = shares[report.models[index].name] ?? EvalShares()
                report.models[index].difference =
                    own.differences(from: base)[EvalMeasure.rougeL.rawValue]
            }
        }
        return report
    }

    private func questions() throws -> [Question] {
        try PromptFile.read(data).prefix(limit ?? .max).enumerated().map { index, line in
            guard let references = ScoreFile.references(of: line.object) else {
                throw Failure(
                    "\(data): prompt \(index + 1) has no references: give \"references\", \"output\" or "
                        + "\"response\", a text or a list of texts",
                    code: Failure.Code.badData
                )
            }
            let prompt = EvalPrompt(prompt: line.prompt, input: line.input ?? "")
            return Question(prompt: prompt, references: references)
        }
    }

    private func evaluate(
        _ name: String,
        _ path: String,
        _ questions: [Question]
    ) throws -> (AnswerReport.Model, TextScores) {
        let (model, tokenizer) = try ModelLoading.load(path)
        let wanted =
            template ?? DistillSettings.resolved(ofStudentAt: path)?.template
            ?? PromptTemplate.automatic
        let template = try PromptTemplate.named(wanted, modelAt: URL(fileURLWithPath: path))
        let answering = StudentAnswers(model, tokenizer, template: template)
        func scores(_ options: SamplingOptions, _ kind: String) throws -> TextScores {
            Console.say("eval: \(name), \(kind)")
            let given = try answering(
                questions.map(\.prompt),
                options: options,
                check: { ModelLoading.warn($0, tooLongFor: model) },
                shouldStop: { Signals.shouldStop }
            )
            guard !Signals.shouldStop else {
                throw Failure("eval: stopped", code: Failure.Code.stopped)
            }
            var scores = TextScores()
            for (answer, question) in zip(given, questions) {
                scores.add(answer, references: question.references)
            }
            try write(given, questions, scores, "\(name)-\(kind)")
            return scores
        }
        var greedyOptions = sampling
        greedyOptions.temperature = 0
        let greedy = try scores(greedyOptions, "greedy")
        let drawn = try seeds.map { seed in
            var options = sampling
            options.seed = seed
            return try scores(options, "seed \(seed)")
        }
        let report = AnswerReport.Model(
            name: name,
            template: template.name,
            rougeL: ScoreStage.percent(greedy.rougeL),
            exactMatch: ScoreStage.percent(greedy.exactMatch),
            sampledRougeL: sampled(drawn.map(\.rougeL)),
            sampledExactMatch: sampled(drawn.map(\.exactMatch))
        )
        return (report, greedy)
    }

    private func sampled(_ scores: [[Double]]) -> AnswerReport.Sampled? {
        guard !scores.isEmpty else { return nil }
        let means = scores.map { 100 * $0.reduce(0, +) / Double(max(1, $0.count)) }
        let mean = means.reduce(0, +) / Double(means.count)
        let squares = means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let deviation = (squares / Double(max(1, means.count - 1))).squareRoot()
        return AnswerReport.Sampled(seeds: seeds, mean: mean, deviation: deviation, means: means)
    }

    /// One answer a line, with its scores.
    private struct Line: Codable {
        let prompt: String, prediction: String
        let references: [String]
        let rougeL: Double, exactMatch: Double

        enum CodingKeys: String, CodingKey {
            case prompt, prediction, references, rougeL
            case exactMatch = "exact_match"
        }
    }

    private func write(
        _ given: [String],
        _ questions: [Question],
        _ scores: TextScores,
        _ name: String
    ) throws {
        guard let answers else { return }
        // A model's path may well lead out of the directory.
        let safe = String(name.map { $0.isLetter || $0.isNumber || ".-".contains($0) ? $0 : "_" })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var lines = Data()
        for (index, question) in questions.enumerated() {
            let line = Line(
                prompt: question.prompt.prompt,
                prediction: given[index],
                references: question.references,
                rougeL: scores.rougeL[index],
                exactMatch: scores.exactMatch[index]
            )
            lines += try encoder.encode(line) + Data("\n".utf8)
        }
        let directory = URL(fileURLWithPath: answers, isDirectory: true)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let file = "\(safe.drop { $0 == "." }).jsonl"
        try RunFiles.write(lines, to: directory.appendingPathComponent(file))
    }
}

import Distill
import Foundation
import Scores

/// Scores answers that are there already, whoever wrote them.
struct ScoreStage {
    /// JSON Lines with a `prediction` a line, and with its `references`.
    let predictions: String, references: String

    /// Means x 100, each with the interval that holds it in 95 of 100 samples of as many answers.
    struct Summary: Codable, Equatable {
        var answers: Int
        var rougeL: Estimate
        var exactMatch: Estimate

        enum CodingKeys: String, CodingKey {
            case answers, rougeL
            case exactMatch = "exact_match"
        }

        /// For a person.
        var table: String {
            let rows = [("ROUGE-L", rougeL), ("exact match", exactMatch)].map { name, figure in
                name.padding(toLength: 13, withPad: " ", startingAt: 0)
                    + String(
                        format: "%6.2f  (95 %% interval %.2f to %.2f)",
                        figure.mean,
                        figure.low,
                        figure.high
                    )
            }
            return (["\(answers) answers, x 100"] + rows).joined(separator: "\n") + "\n"
        }
    }

    /// - Throws: `ScoreError`; `Failure` where the files are of two lengths.
    func run() throws -> (Summary, TextScores) {
        let answers = try ScoreFile.predictions(at: predictions)
        let known = try ScoreFile.references(at: references)
        guard answers.count == known.count else {
            throw Failure(
                "\(predictions) has \(answers.count) predictions and \(references) references for "
                    + "\(known.count); the files go together line by line",
                code: Failure.Code.badData
            )
        }
        var scores = TextScores()
        for (answer, references) in zip(answers, known) {
            scores.add(answer, references: references)
        }
        let summary = Summary(
            answers: answers.count,
            rougeL: Self.percent(scores.rougeL),
            exactMatch: Self.percent(scores.exactMatch)
        )
        return (summary, scores)
    }

    /// Scores of 0 to 1 as a mean x 100 with its interval.
    static func percent(_ scores: [Double]) -> Estimate {
        let found = Bootstrap().estimate(scores.map { Share($0) })
        let one = found ?? Estimate(mean: 0, low: 0, high: 0)
        return Estimate(mean: 100 * one.mean, low: 100 * one.low, high: 100 * one.high)
    }

    /// Writes every answer's scores, 0 to 1, in order.
    ///
    /// - Throws: `DistillError` where the file cannot be written.
    func write(_ scores: TextScores, to path: String) throws {
        let lines = zip(scores.rougeL, scores.exactMatch).map {
            "{\"rougeL\":\($0),\"exact_match\":\($1)}\n"
        }
        try RunFiles.write(Data(lines.joined().utf8), to: URL(fileURLWithPath: path))
    }
}

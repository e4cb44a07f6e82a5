import Foundation
import Scores

/// What models scored on a file of prompts, figures x 100: the JSON of `retort eval --data`.
package struct AnswerReport: Codable, Sendable, Equatable {
    /// Of sampled answers.
    package struct Sampled: Codable, Sendable, Equatable {
        package var seeds: [UInt64]
        /// The mean over seeds of each one's mean over prompts, and the sample deviation between them.
        package var mean: Double, deviation: Double
        /// By seed.
        package var means: [Double]

        package init(seeds: [UInt64], mean: Double, deviation: Double, means: [Double]) {
            (self.seeds, self.mean, self.deviation, self.means) = (seeds, mean, deviation, means)
        }
    }

    /// Of one model.
    package struct Model: Codable, Sendable, Equatable {
        package var name: String
        package var template: String
        /// Greedy answers, with 95 % intervals.
        package var rougeL: Estimate, exactMatch: Estimate
        package var sampledRougeL: Sampled?
        package var sampledExactMatch: Sampled?
        /// Greedy ROUGE-L less the baseline's, prompt by prompt.
        package var difference: EvalDifference?

        enum CodingKeys: String, CodingKey {
            case name, template, rougeL, difference
            case exactMatch = "exact_match"
            case sampledRougeL = "sampled_rougeL"
            case sampledExactMatch = "sampled_exact_match"
        }

        package init(
            name: String,
            template: String,
            rougeL: Estimate,
            exactMatch: Estimate,
            sampledRougeL: Sampled?,
            sampledExactMatch: Sampled?
        ) {
            (self.name, self.template) = (name, template)
            (self.rougeL, self.exactMatch) = (rougeL, exactMatch)
            self.sampledRougeL = sampledRougeL
            self.sampledExactMatch = sampledExactMatch
        }
    }

    package var data: String
    package var prompts: Int
    package var baseline: String?
    package var models: [Model]

    package init(data: String, prompts: Int, baseline: String?, models: [Model]) {
        (self.data, self.prompts) = (data, prompts)
        (self.baseline, self.models) = (baseline, models)
    }

    /// Nil where there is none that can be read.
    package static func read(_ url: URL) -> AnswerReport? {
        RunFiles.read(url, limit: 1 << 24)
            .flatMap { try? JSONDecoder().decode(AnswerReport.self, from: $0) }
    }

    /// The titles of `rows`.
    package static let columns = [
        "model", "ROUGE-L", "95 % interval", "exact", "sampled ROUGE-L", "sampled exact",
    ]

    /// One row a model, marked where it is surely better or worse than the baseline.
    package var rows: [[String]] {
        func sampled(_ figures: Sampled?) -> String {
            guard let figures else { return "-" }
            return String(format: "%.2f ± %.2f", figures.mean, figures.deviation)
        }
        return models.map { model in
            let mark = model.difference.map { $0.verdict.mark } ?? ""
            return [
                EvalTable.shortened(model.name),
                String(format: "%.2f", model.rougeL.mean) + mark,
                String(format: "%.2f to %.2f", model.rougeL.low, model.rougeL.high),
                String(format: "%.2f", model.exactMatch.mean),
                sampled(model.sampledRougeL), sampled(model.sampledExactMatch),
            ]
        }
    }

    /// What the figures are.
    package var notes: [String] {
        var notes = ["\(prompts) prompts, figures x 100; greedy answers first."]
        if let seeds = models.first?.sampledRougeL?.seeds {
            notes.append(
                "Sampled: mean and deviation over seeds \(seeds.prefix(20).map(String.init).joined(separator: ", "))."
            )
        }
        if let baseline { notes.append(EvalTable.markNote(baseline)) }
        return notes
    }

    /// For a terminal.
    package var table: String {
        let lines = TextTable.lines([Self.columns] + rows) + [""] + notes
        return lines.joined(separator: "\n") + "\n"
    }
}

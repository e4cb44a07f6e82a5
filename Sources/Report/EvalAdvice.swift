import Distill
import Foundation

/// What measurements say: which model is better than the baseline, and in what.
struct EvalAdvice {
    private let eval: ReportEval

    init(_ eval: ReportEval) { self.eval = eval }

    /// Confidence that is so far above what is right is told.
    private static let overconfident = 0.05
    /// The share of what chance leaves that attention finds at least where it has learnt to.
    private static let littleLearnt = 0.1

    var notes: [Note] {
        eval.complaints.map { Note(kind: .bad, text: $0) }
            + eval.models.flatMap { [comparison($0), confidence($0), alignment($0)] }
            .compactMap { $0 }
    }

    private func comparison(_ report: EvalReport) -> Note? {
        guard let differences = report.differences, let baseline = report.baseline else {
            return nil
        }
        func named(_ verdict: EvalDifference.Verdict) -> String {
            let names = EvalMeasure.allCases.filter {
                differences[$0.rawValue]?.verdict == verdict
            }.map(ScoreColumn.name)
            return names.isEmpty ? "nothing" : names.joined(separator: ", ")
        }
        let isBetter = differences.values.contains { $0.verdict == .better }
        let isWorse = differences.values.contains { $0.verdict == .worse }
        return Note(
            kind: isBetter == isWorse ? .plain : isBetter ? .good : .bad,
            text:
                "\(report.name) against \(baseline), in 95 of 100 samples of as many examples: better in "
                + "\(named(.better)); worse in \(named(.worse))."
        )
    }

    private func confidence(_ report: EvalReport) -> Note? {
        guard let bins = report.calibration?.bins else { return nil }
        let all = bins.reduce(0) { $0 + Double($1.count) }
        let gap = bins.reduce(0) {
            $0 + Double($1.count) / max(1, all) * ($1.confidence - $1.accuracy)
        }
        guard gap > Self.overconfident else { return nil }
        return Note(
            kind: .plain,
            text: String(
                format:
                    "%@ is surer than it is right, by %.1f of 100 (see Calibration). Fewer passes over the data, or a sampling "
                    + "temperature above 1, make up for it.",
                report.name,
                100 * gap
            )
        )
    }

    private func alignment(_ report: EvalReport) -> Note? {
        guard let quality = report.alignmentQuality, let chance = report.alignmentChance,
            // Of what chance leaves next to nothing is found.
            quality - chance < Self.littleLearnt * (1 - chance)
        else { return nil }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "%@: attention finds the teacher token of the same characters for %.1f %% of the tokens, by "
                    + "chance it would for %.1f %%. The projectors have learnt little: more steps, or a higher "
                    + "projector_learning_rate.",
                report.name,
                100 * quality,
                100 * chance
            )
        )
    }
}

import Foundation

/// `simulation.json`: what came of every divergence.
public struct SimulationReport: Codable, Sendable, Equatable {
    /// One run of one divergence.
    public struct Outcome: Codable, Sendable, Equatable {
        /// Before the first step and after the last.
        public var firstLoss: Double
        /// See `firstLoss`.
        public var lastLoss: Double
        /// After the last step.
        public var figures: SimulationFigures

        enum CodingKeys: String, CodingKey {
            case figures
            case firstLoss = "first_loss"
            case lastLoss = "last_loss"
        }

        init(_ run: SimulationRun, teacher: [[Float]]) {
            firstLoss = run.losses.first ?? 0
            lastLoss = run.losses.last ?? 0
            figures = SimulationFigures(student: run.student, teacher: teacher)
        }
    }

    /// Both runs of one divergence.
    public struct Row: Codable, Sendable, Equatable {
        /// A name of `Divergence`.
        public var divergence: String
        /// Run A and run B.
        public var different: Outcome
        /// See `different`.
        public var shared: Outcome

        enum CodingKeys: String, CodingKey {
            case divergence
            case different = "different_heads"
            case shared = "shared_head"
        }
    }

    /// Those that decide the numbers.
    public var settings: [String: String]
    /// Before training: the same for all.
    public var before: SimulationFigures
    /// In the order of the settings.
    public var divergences: [Row]

    /// - Parameter results: One or more, of the same settings.
    init(_ results: [SimulationResult]) {
        settings = results[0].settings
        before = SimulationFigures(student: results[0].before, teacher: results[0].teacher)
        divergences = results.map { result in
            Row(
                divergence: result.divergence,
                different: Outcome(result.different, teacher: result.teacher),
                shared: Outcome(result.shared, teacher: result.teacher)
            )
        }
    }

    /// The heads of `rows`.
    static let columns = [
        "divergence", "heads", "first loss", "last loss", "between means", "between pairs", "mixed",
        "student's spread", "teacher's spread",
    ]

    /// The numbers as texts: before training, then two rows a divergence.
    var rows: [[String]] {
        // A loss near zero may be rounded to below it; not -0.
        func text(_ value: Double, _ digits: Int) -> String {
            let text = String(format: "%.\(digits)f", value)
            return Double(text) == 0 ? String(text.drop { $0 == "-" }) : text
        }
        func texts(_ figures: SimulationFigures) -> [String] {
            [text(figures.meanDistance, 3), text(figures.pairDistance, 3), text(figures.mixed, 2)]
                + [figures.studentSpread, figures.teacherSpread].map { text($0, 3) }
        }
        var rows = [["(before)", "", "", ""] + texts(before)]
        for row in divergences {
            for (heads, outcome) in [("different", row.different), ("shared", row.shared)] {
                let losses = [outcome.firstLoss, outcome.lastLoss]
                rows.append(
                    [row.divergence, heads] + losses.map { text($0, 4) }
                        + texts(outcome.figures)
                )
            }
        }
        return rows
    }

    /// `rows` in plain text.
    public func table() -> String {
        let rows = [Self.columns] + rows
        let widths = Self.columns.indices.map { column in
            rows.map { $0[column].count }.max() ?? 0
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        let lines = ([rows[0], rule] + rows.dropFirst()).map { row in
            row.enumerated().map { column, text in
                let space = String(repeating: " ", count: widths[column] - text.count)
                return column < 2 ? text + space : space + text
            }.joined(separator: "  ")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

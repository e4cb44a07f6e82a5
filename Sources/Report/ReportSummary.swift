import Cache
import Distill
import Foundation
import Pages

/// What a person wants to know first: what ran, how it came out, and what stands out.
struct ReportSummary {
    private let page: ReportPage

    init(_ page: ReportPage) { self.page = page }

    var body: String {
        let unread = page.unreadable.map {
            Note(
                kind: .bad,
                text: "\($0.path) could not be read; measure again to see what it held."
            )
        }
        let notes =
            unread
            + page.runs.flatMap { run in
                RunAdvice(run).notes.map { Note(kind: $0.kind, text: "\(run.name): \($0.text)") }
            } + page.evals.flatMap { EvalAdvice($0).notes }
        let items = notes.map {
            "<li class=\"\($0.kind.rawValue)\">\(Markup.shortened($0.text, to: 400))</li>"
        }
        let list =
            items.isEmpty
            ? Block.paragraph("Nothing unusual.")
            : "<ul class=\"advice\">\n\(items.joined(separator: "\n"))\n</ul>"
        return """
            \(table)
            <h3>What stands out</h3>
            \(list)
            """
    }

    private var table: String {
        Block.table(
            "Runs. Losses in nats a token: of training, the mean of the last steps; held out, the last measured. Of peak: "
                + "useful operations over those of a plain matrix product",
            [
                "run", "steps", "cross-entropy", "held-out cross-entropy", "trained loss",
                "criterion",
                "tokens/s", "of peak", "time", "memory",
            ],
            page.runs.map { run in
                let history = run.history
                // Of the student that was exported, which may not be the last.
                let heldOut = run.done?.heldOut?["ce"] ?? history.heldOut["ce"]?.last?.y
                return [
                    Block.Cell(DisplayText.name(run.name, to: 40)),
                    Block.Cell(Self.state(run)),
                    Block.Cell(Self.number(history.losses["ce"].flatMap(Curve.end))),
                    Block.Cell(Self.number(heldOut)),
                    Block.Cell(Self.number(history.losses["total"].flatMap(Curve.end))),
                    Block.Cell(run.settings.map { DisplayText.cut($0.criterion, to: 40) } ?? "–"),
                    Block.Cell(
                        history.seconds > 0
                            ? String(format: "%.0f", history.timedTokens / history.seconds) : "–"
                    ),
                    Block.Cell(
                        Curve.mean(history.shareOfPeak)
                            .map { String(format: "%.0f %%", 100 * $0.y) } ?? "–"
                    ),
                    Block.Cell(history.seconds > 0 ? RunWords.duration(history.seconds) : "–"),
                    Block.Cell(
                        history.memoryMiB > 0 ? String(format: "%.0f MiB", history.memoryMiB) : "–"
                    ),
                ]
            }
        )
    }

    private static func state(_ run: ReportRun) -> String {
        guard run.done == nil else { return "\(run.done?.steps ?? 0), finished" }
        return "\(run.history.last?.step ?? 0) of \(run.steps.map(String.init) ?? "?")"
    }

    private static func number(_ value: Double?) -> String {
        value.map { RunWords.number($0, digits: 4) } ?? "–"
    }
}

import Distill
import Foundation
import Pages

/// What a person wants to know first: what ran, how it came out, and what stands out.
struct ReportSummary {
    private let page: ReportPage

    init(_ page: ReportPage) { self.page = page }

    var body: String {
        let notes =
            page.runs.flatMap { run in
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
            "Runs; losses are those of training at the end, in nats a token",
            [
                "run", "criterion", "steps", "loss", "cross-entropy", "held-out loss", "tokens/s",
                "of peak", "time", "memory",
            ],
            page.runs.map { run in
                let history = run.history
                let heldOut = history.heldOut["total"]?.last?.y ?? run.done?.heldOut?["total"]
                return [
                    Block.Cell(run.name),
                    Block.Cell(run.settings.map { String($0.criterion.prefix(40)) } ?? "–"),
                    Block.Cell(Self.state(run)),
                    Block.Cell(Self.number(history.losses["total"].flatMap(Curve.end))),
                    Block.Cell(Self.number(history.losses["ce"].flatMap(Curve.end))),
                    Block.Cell(Self.number(heldOut)),
                    Block.Cell(
                        history.seconds > 0
                            ? String(format: "%.0f", history.tokens / history.seconds) : "–"
                    ),
                    Block.Cell(
                        Self.mean(history.shareOfPeak)
                            .map { String(format: "%.0f %%", 100 * $0) } ?? "–"
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
        value.map { String(format: "%.4f", $0) } ?? "–"
    }

    private static func mean(_ points: [CurvePoint]) -> Double? {
        points.isEmpty ? nil : points.reduce(0) { $0 + $1.y } / Double(points.count)
    }
}

/// A sentence of the summary.
struct Note {
    enum Kind: String {
        case good, bad
        case plain = "note"
    }

    let kind: Kind
    let text: String
}

/// What a run's own figures say about it, with what to change.
struct RunAdvice {
    private let run: ReportRun

    init(_ run: ReportRun) { self.run = run }

    /// Below these nothing is said.
    private static let waiting = 0.02, cutShare = 0.05, stillFalling = 0.02, risen = 0.01

    var notes: [Note] {
        [unfinished, skipped, turned, falling, waited, cut, unreadable].compactMap { $0 }
    }

    private var history: RunHistory { run.history }

    private var unfinished: Note? {
        guard run.done == nil else { return nil }
        let (step, steps) = (history.last?.step ?? 0, run.steps.map(String.init) ?? "?")
        return Note(
            kind: .plain,
            text:
                "not finished (step \(step) of \(steps)); the command that began it goes on from there."
        )
    }

    private var skipped: Note? {
        guard let last = history.skipped.last, let steps = history.last?.step else { return nil }
        let reasons = Set(history.skipped.map { $0.reason.prefix(30) }).sorted().joined(
            separator: ", "
        )
        return Note(
            kind: .bad,
            text:
                "\(history.skipped.count) of \(steps) steps changed nothing (\(reasons)), the last at step "
                + "\(last.step). A lower learning_rate or a longer warm-up avoids such steps."
        )
    }

    /// Held-out loss that has risen again: the student learns the examples by heart.
    private var turned: Note? {
        guard let points = history.heldOut["total"], points.count > 2,
            let best = points.min(by: { $0.y < $1.y }), let last = points.last,
            last.x > best.x, last.y > best.y * (1 + Self.risen)
        else { return nil }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "the held-out loss was lowest at step %.0f (%.4f) and has risen to %.4f. Fewer steps, more "
                    + "dropout or a lower learning_rate; keep_best keeps the student of the lowest.",
                best.x,
                best.y,
                last.y
            )
        )
    }

    private var falling: Note? {
        // Where the held-out loss is known it decides, and single batches do not.
        let points =
            history.heldOut["total"].flatMap { $0.count > 4 ? $0 : nil } ?? history.losses["total"]
            ?? []
        guard run.done != nil, turned == nil, points.count >= 5 else { return nil }
        let fifth = max(1, points.count / 5)
        func mean(_ part: ArraySlice<CurvePoint>) -> Double {
            part.reduce(0) { $0 + $1.y } / Double(max(1, part.count))
        }
        let (now, before) = (mean(points.suffix(fifth)), mean(points.dropLast(fifth).suffix(fifth)))
        guard before > 0, now < before * (1 - Self.stillFalling) else { return nil }
        return Note(
            kind: .plain,
            text: String(
                format:
                    "the loss still fell by %.1f %% in the last fifth of the steps: more steps would help.",
                100 * (1 - now / before)
            )
        )
    }

    private var waited: Note? {
        guard history.seconds > 0, history.dataSeconds > Self.waiting * history.seconds else {
            return nil
        }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "%.1f %% of the time went into waiting for examples. A cache on a faster disk, or stored "
                    + "with another codec (retort cache recompress), is read sooner.",
                100 * history.dataSeconds / history.seconds
            )
        )
    }

    private var cut: Note? {
        let lost = history.cut + history.dropped
        guard history.examples > 0, lost > Self.cutShare * history.examples else { return nil }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "%.0f %% of the examples were cut or left out; a larger max_length would keep them.",
                100 * lost / (history.examples + history.dropped)
            )
        )
    }

    private var unreadable: Note? {
        guard history.unreadable > 0 else { return nil }
        return Note(
            kind: .bad,
            text:
                "\(history.unreadable) lines of \(RunHistory.file) could not be read and are left out."
        )
    }
}

/// What measurements say: which model is better than the baseline, and in what.
struct EvalAdvice {
    private let eval: ReportEval

    init(_ eval: ReportEval) { self.eval = eval }

    /// Confidence that is so far above what is right is told.
    private static let overconfident = 0.05

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
                "\(report.name) against \(baseline): better in \(named(.better)); worse in \(named(.worse)); "
                + "the rest may be chance."
        )
    }

    private func confidence(_ report: EvalReport) -> Note? {
        guard let bins = report.calibration?.bins else { return nil }
        let all = Double(max(1, bins.reduce(0) { $0 + max(0, $1.count) }))
        let gap = bins.reduce(0) {
            $0 + Double(max(0, $1.count)) / all * ($1.confidence - $1.accuracy)
        }
        guard gap > Self.overconfident else { return nil }
        return Note(
            kind: .plain,
            text: String(
                format:
                    "%@ is surer than it is right, by %.1f of 100: a higher temperature of the sampling, or more "
                    + "weight on the teacher (kd_rate), makes it more cautious.",
                String(report.name.prefix(60)),
                100 * gap
            )
        )
    }

    private func alignment(_ report: EvalReport) -> Note? {
        guard let quality = report.alignmentQuality, let chance = report.alignmentChance,
            quality < 2 * chance
        else { return nil }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "%@: attention finds the teacher token of the same characters for %.1f %% of the tokens, by "
                    + "chance it would for %.1f %%. The projectors have learnt little: more steps, or a higher "
                    + "projector_learning_rate.",
                String(report.name.prefix(60)),
                100 * quality,
                100 * chance
            )
        )
    }
}

/// How figures are told, on pages and in terminals.
enum RunWords {
    /// Hours, minutes and seconds.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "–" }
        let whole = Int(max(0, seconds).rounded())
        return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }
}

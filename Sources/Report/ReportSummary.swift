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
        value.map { RunWords.number($0, digits: 4) } ?? "–"
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
    /// Steps from which a curve says something.
    private static let fewest = 20

    var notes: [Note] {
        [unfinished, unmeasured, skipped, diverged, turned, falling, waited, cut, unreadable]
            .compactMap { $0 }
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

    private var unmeasured: Note? {
        guard run.done != nil, history.last == nil else { return nil }
        return Note(
            kind: .bad,
            text:
                "finished, and there is no step in \(RunHistory.file): it is empty, or cannot be read."
        )
    }

    /// A loss that ends above where it began.
    private var diverged: Note? {
        guard let points = history.losses["total"], points.count >= Self.fewest,
            let end = Curve.end(points)
        else { return nil }
        let start = Self.mean(points.prefix(max(1, points.count / 20)))
        guard end > start else { return nil }
        return Note(
            kind: .bad,
            text: "the loss has grown, from \(RunWords.number(start, digits: 4)) to "
                + "\(RunWords.number(end, digits: 4)): a lower learning_rate, a longer warm-up or a smaller clip."
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
        guard run.done != nil, turned == nil, diverged == nil, history.skipped.isEmpty,
            let points = history.losses["total"], points.count >= 2 * Self.fewest
        else { return nil }
        // Means of many batches: the difference of two is noise.
        let fifth = points.count / 5
        let (now, before) = (points.suffix(fifth), points.dropLast(fifth).suffix(fifth))
        let (end, start) = (Self.mean(now), Self.mean(before))
        let noise = ((Self.variance(now) + Self.variance(before)) / Double(fifth)).squareRoot()
        guard start > 0, end < start * (1 - Self.stillFalling), start - end > 2 * noise else {
            return nil
        }
        return Note(
            kind: .plain,
            text: String(
                format:
                    "in the last fifth of the steps the loss was %.1f %% below that of the fifth before: more steps may "
                    + "help.",
                100 * (1 - end / start)
            )
        )
    }

    private static func mean(_ points: ArraySlice<CurvePoint>) -> Double {
        points.reduce(0) { $0 + $1.y } / Double(max(1, points.count))
    }

    private static func variance(_ points: ArraySlice<CurvePoint>) -> Double {
        let mean = mean(points)
        return points.reduce(0) { $0 + ($1.y - mean) * ($1.y - mean) }
            / Double(max(1, points.count - 1))
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
        // One that is cut to nothing is in both.
        let lost = max(history.cut, history.dropped)
        let all = max(history.examples + history.dropped, lost)
        guard all > 0, lost > Self.cutShare * all else { return nil }
        return Note(
            kind: .bad,
            text: String(
                format:
                    "%.0f %% of the examples were cut or left out; a larger max_length would keep them.",
                100 * lost / all
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

/// How figures are told, on pages and in terminals.
enum RunWords {
    /// A number that may be a stranger's, or a diverged model's.
    static func number(_ value: Double, digits: Int) -> String {
        String(format: abs(value) < 1e9 ? "%.\(digits)f" : "%.1e", value)
    }

    /// Hours, minutes and seconds.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e9 else { return "–" }
        let whole = Int(max(0, seconds).rounded())
        return String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }
}

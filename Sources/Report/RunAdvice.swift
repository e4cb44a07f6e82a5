import Distill
import Foundation

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
        Curve.mean(points)?.y ?? 0
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

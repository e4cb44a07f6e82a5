import Cache
import Distill
import Foundation

/// Runs as a terminal shows them: figures as they are now, and curves of one line each.
public struct WatchScreen {
    /// Columns and rows of the terminal.
    public let width: Int
    /// See `width`.
    public let height: Int

    /// A terminal's size; less than anything fits in is taken as so much.
    public init(width: Int, height: Int) {
        (self.width, self.height) = (max(20, width), max(4, height))
    }

    private static let nameWidth = 20, numberWidth = 11, noteWidth = 26
    /// A run that has written nothing for so long, and for so many of its steps, is told to be silent.
    private static let silence = 60.0, silentSteps = 10.0
    /// Of a file without a date.
    private static let longest = 1e9

    /// Lines, none longer than the terminal is wide, and no more than it is high.
    ///
    /// The run that has written last comes first, with its curves; then the others in a line each. Where there is
    /// little room the curves of a criterion's single parts are left out.
    ///
    /// - Parameter now: The time, for how long a run has been silent.
    public func lines(_ runs: [ReportRun], now: Date = Date()) -> [String] {
        let written = runs.map { Self.written($0.directory) ?? .distantPast }
        guard let main = runs.indices.max(by: { (written[$0], $1) < (written[$1], $0) }) else {
            return ["no run has begun yet"].map { TerminalText.fitted($0, to: width) }
        }
        let silent = now.timeIntervalSince(written[main])
        let others = runs.indices.filter { $0 != main }.map { short(runs[$0]) }
        let head = head(runs[main], silent: silent)
        let tail = others.isEmpty ? [] : [""] + others
        let room = height - 1 - head.count - tail.count
        return (head + curves(runs[main].history, room: room) + tail).prefix(height - 1)
            .map { TerminalText.fitted($0, to: width) }
    }

    /// What must be seen: where the run is, and what is wrong with it.
    private func head(_ run: ReportRun, silent: TimeInterval) -> [String] {
        let history = run.history
        let criterion =
            run.settings.map { "  \(DisplayText.shortened($0.criterion, to: 24))" } ?? ""
        var lines = [DisplayText.escaped(run.name) + criterion, state(run)]
        let quiet = max(Self.silence, Self.silentSteps * (history.secondsPerStep ?? 0))
        if run.done == nil, silent > quiet, silent < Self.longest {
            lines.append("SILENT for \(RunWords.duration(silent)): has it stopped?")
        }
        if let last = history.skipped.last {
            let reason = DisplayText.shortened(last.reason, to: 30)
            lines.append(
                "\(history.skipped.count) steps skipped, the last at \(last.step) (\(reason))"
            )
        }
        if history.unreadable > 0 {
            lines.append("\(history.unreadable) lines of \(RunHistory.file) could not be read")
        }
        if history.last != nil { lines.append(machine(history)) }
        return lines
    }

    private func curves(_ history: RunHistory, room: Int) -> [String] {
        guard history.last != nil else { return [] }
        func rows(_ means: [String: [CurvePoint]], _ prefix: String) -> [(
            name: String, line: String
        )] {
            RunHistory.ordered(means.keys).map { name in
                (name, row(prefix + name, means[name] ?? [], isLoss: LossPart.isLoss(name)))
            }
        }
        let losses = rows(history.losses, "")
        let heldOut = rows(history.heldOut, "held out ")
        let rest = [
            row("learning rate", history.learningRate, isLoss: false),
            row("gradient norm", history.gradientNorm, isLoss: false),
            row("tokens/s", history.tokensPerSecond, digits: 0, isLoss: false),
        ]
        let all = losses.map(\.line) + heldOut.map(\.line) + rest
        guard all.count + 1 > room else { return [""] + all }
        let main = ["total", "ce", "kd", "rouge_l"]
        let few = (losses + heldOut).filter { main.contains($0.name) }.map(\.line)
        return Array(([""] + few + rest).prefix(max(0, room)))
    }

    private func state(_ run: ReportRun) -> String {
        let history = run.history
        let step = history.last?.step ?? 0
        guard run.done == nil else {
            return "finished after \(run.done?.steps ?? step) steps, "
                + "\(RunWords.duration(history.seconds)) of training"
        }
        let steps = run.steps ?? 0
        guard history.last != nil else { return "no step is done yet" }
        var parts = ["step \(step)" + (steps > 0 ? " of \(steps)" : "")]
        if steps > 0 {
            let share = min(1, Double(step) / Double(steps))
            let filled = Int(10 * share)
            let bar =
                String(repeating: "#", count: filled) + String(repeating: "·", count: 10 - filled)
            parts = ["[\(bar)]"] + parts + [String(format: "%.0f %%", 100 * share)]
        }
        if history.secondsPerStep != nil {
            parts.append("\(RunWords.duration(history.seconds)) gone")
        }
        if let time = history.secondsPerStep, steps > step {
            parts.append("\(RunWords.duration(time * Double(steps - step))) left")
        }
        if let epoch = history.last?.epoch { parts.append(String(format: "epoch %.2f", epoch)) }
        return parts.joined(separator: "  ")
    }

    private func row(
        _ name: String,
        _ points: [CurvePoint],
        digits: Int = 4,
        isLoss: Bool
    ) -> String {
        guard let last = points.last else { return "" }
        var note = ""
        if isLoss, points.count > 1, let low = points.min(by: { $0.y < $1.y }) {
            note = "  lowest \(Self.number(low.y, digits)) at \(String(format: "%.0f", low.x))"
        }
        let left = width - Self.nameWidth - Self.numberWidth - Self.noteWidth
        let curve = Sparkline.text(points, width: min(max(8, left), 60))
        return TerminalText.padded(
            DisplayText.name(name, to: Self.nameWidth - 1),
            to: Self.nameWidth
        )
            + TerminalText.padded(Self.number(last.y, digits), to: Self.numberWidth) + curve + note
    }

    private func machine(_ history: RunHistory) -> String {
        var parts: [String] = []
        if let share = history.shareOfPeak.last {
            parts.append(String(format: "%.0f %% of peak", 100 * share.y))
        }
        if history.seconds > 0 {
            parts.append(
                String(
                    format: "%.1f %% waiting for data",
                    100 * history.dataSeconds / history.seconds
                )
            )
        }
        if history.memoryMiB > 0 { parts.append(String(format: "%.0f MiB", history.memoryMiB)) }
        if history.cut + history.dropped > 0 {
            parts.append(
                String(format: "%.0f examples cut, %.0f left out", history.cut, history.dropped)
            )
        }
        return parts.joined(separator: "  ")
    }

    private func short(_ run: ReportRun) -> String {
        let loss = run.history.losses["total"]?.last.map { Self.number($0.y, 4) } ?? "–"
        let state =
            run.done != nil
            ? "finished"
            : "step \(run.history.last?.step ?? 0) of \(run.steps.map(String.init) ?? "?")"
        let name = DisplayText.name(run.name, to: 2 * Self.nameWidth)
        return TerminalText.padded(name, to: Self.nameWidth)
            + TerminalText.padded(loss, to: Self.numberWidth)
            + state
    }

    /// When a run's measurements were last written to.
    private static func written(_ directory: URL) -> Date? {
        let path = directory.appendingPathComponent(RunHistory.file).path
        return try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
    }

    private static func number(_ value: Double, _ digits: Int) -> String {
        let isPlain = abs(value) < 1e7 && (value == 0 || abs(value) >= 1e-2 || digits == 0)
        return String(format: isPlain ? "%.\(digits)f" : "%.2e", value)
    }
}

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
        (self.width, self.height) = (max(40, width), max(8, height))
    }

    private static let nameWidth = 18, numberWidth = 11
    /// A run that has written nothing for so long, and for so many of its steps, is told to be silent.
    private static let silence = 60.0, silentSteps = 10.0

    /// Lines, none longer than the terminal is wide, and no more than it is high.
    ///
    /// The run that has written last is shown whole, the others in a line each.
    ///
    /// - Parameters:
    ///   - now: The time, for how long a run has been silent.
    public func lines(_ runs: [ReportRun], now: Date = Date()) -> [String] {
        let written = runs.map { Self.written($0.directory) ?? .distantPast }
        guard let main = runs.indices.max(by: { (written[$0], $1) < (written[$1], $0) }) else {
            return []
        }
        var lines = whole(runs[main], silent: now.timeIntervalSince(written[main]))
        if runs.count > 1 {
            lines.append("")
            lines += runs.indices.filter { $0 != main }.map { short(runs[$0]) }
        }
        return lines.prefix(height - 1).map { Self.fitted($0, to: width) }
    }

    private func whole(_ run: ReportRun, silent: TimeInterval) -> [String] {
        let history = run.history
        let criterion =
            run.settings.map { "  \(DisplayText.shortened($0.criterion, to: 24))" } ?? ""
        var lines = [DisplayText.escaped(run.name) + criterion, state(run, silent: silent), ""]
        guard history.last != nil else { return lines.dropLast() + ["no step is done yet"] }
        for name in RunHistory.ordered(history.losses.keys) {
            lines.append(row(name, history.losses[name] ?? []))
        }
        for name in RunHistory.ordered(history.heldOut.keys) {
            lines.append(row("held out \(name)", history.heldOut[name] ?? []))
        }
        lines.append(row("learning rate", history.learningRate))
        lines.append(row("gradient norm", history.gradientNorm))
        lines.append(row("tokens/s", history.tokensPerSecond, digits: 0))
        lines.append("")
        lines.append(machine(history))
        if let last = history.skipped.last {
            let reason = DisplayText.shortened(last.reason, to: 30)
            lines.append(
                "\(history.skipped.count) steps skipped, the last at \(last.step) (\(reason))"
            )
        }
        if history.unreadable > 0 {
            lines.append("\(history.unreadable) lines of \(RunHistory.file) could not be read")
        }
        return lines
    }

    private func state(_ run: ReportRun, silent: TimeInterval) -> String {
        let history = run.history
        let step = history.last?.step ?? 0
        guard run.done == nil else {
            return "finished after \(run.done?.steps ?? step) steps, "
                + "\(RunWords.duration(history.seconds)) of training"
        }
        let steps = run.steps ?? 0
        var parts = ["step \(step)" + (steps > 0 ? " of \(steps)" : "")]
        if steps > 0 {
            let share = min(1, Double(step) / Double(steps))
            let filled = Int(20 * share)
            parts.insert(
                "[" + String(repeating: "#", count: filled)
                    + String(repeating: "·", count: 20 - filled) + "]",
                at: 0
            )
            parts.append(String(format: "%.0f %%", 100 * share))
        }
        if let epoch = history.last?.epoch { parts.append(String(format: "epoch %.2f", epoch)) }
        if let time = history.secondsPerStep {
            parts.append("\(RunWords.duration(history.seconds)) gone")
            if steps > step {
                parts.append("\(RunWords.duration(time * Double(steps - step))) left")
            }
            let quiet = max(Self.silence, Self.silentSteps * time)
            if silent > quiet {
                parts.append("SILENT for \(RunWords.duration(silent)): has it stopped?")
            }
        }
        return parts.joined(separator: "  ")
    }

    private func row(_ name: String, _ points: [CurvePoint], digits: Int = 4) -> String {
        guard let last = points.last else { return "" }
        let low = points.min { $0.y < $1.y } ?? last
        let value = Self.number(last.y, digits)
        let note = "lowest \(Self.number(low.y, digits)) at \(Self.number(low.x, 0))"
        let left = width - Self.nameWidth - Self.numberWidth - note.count - 3
        let curve = Sparkline.text(points, width: min(max(8, left), 60))
        return Self.padded(DisplayText.shortened(name, to: Self.nameWidth - 2), Self.nameWidth)
            + Self.padded(value, Self.numberWidth) + curve + "  " + note
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
        let name = DisplayText.shortened(run.name, to: Self.nameWidth - 2)
        return Self.padded(name, Self.nameWidth) + Self.padded(loss, Self.numberWidth) + state
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

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }

    private static func fitted(_ line: String, to width: Int) -> String {
        line.count <= width ? line : line.prefix(width - 1) + "…"
    }
}

/// A curve in one line of a terminal.
enum Sparkline {
    private static let bars = Array("▁▂▃▄▅▆▇█")

    /// Means of equal parts of the curve between its lowest and its highest, a character each.
    static func text(_ points: [CurvePoint], width: Int) -> String {
        let means = Curve.means(points, parts: max(1, width))
        guard let low = means.min(), let high = means.max() else { return "" }
        return String(
            means.map { value in
                let share = high > low ? (value - low) / (high - low) : 0
                return bars[min(bars.count - 1, max(0, Int(share * Double(bars.count))))]
            }
        )
    }
}

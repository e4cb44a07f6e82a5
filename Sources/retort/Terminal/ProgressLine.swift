import Distill
import Foundation

/// How far a long job is: a bar on a terminal, a plain line every so often elsewhere.
final class ProgressLine {
    private let title: String
    private let unit: String
    private let start = Date()
    private var lastShown = Date.distantPast
    private var isOpen = false
    /// What an earlier run had done: it is no part of this run's rate.
    private var alreadyDone = 0.0

    /// - Parameters:
    ///   - title: What is going on, such as `extract`.
    ///   - unit: What is counted, such as `tokens`.
    init(_ title: String, unit: String) {
        self.title = title
        self.unit = unit
    }

    /// Says how much was there before this run.
    func start(at done: Double) { alreadyDone = done }

    /// Shows the state if the last one was shown long enough ago.
    func update(_ done: Double, of total: Double, detail: String = "") {
        let interval = Console.isTerminal ? 0.2 : 15.0
        let finished = done >= total
        guard finished || Date().timeIntervalSince(lastShown) >= interval else { return }
        lastShown = Date()
        let line = Self.text(
            title,
            done: done,
            already: alreadyDone,
            total: total,
            unit: unit,
            seconds: Date().timeIntervalSince(start),
            detail: detail,
            hasBar: Console.isTerminal
        )
        if Console.isTerminal {
            Console.overwrite(line)
            isOpen = true
        } else {
            Console.say(line)
        }
    }

    /// Ends the line, so that what follows starts on its own.
    func finish() {
        if isOpen { Console.endLine() }
        isOpen = false
    }

    static func text(
        _ title: String,
        done: Double,
        already: Double = 0,
        total: Double,
        unit: String,
        seconds: Double,
        detail: String,
        hasBar: Bool
    ) -> String {
        let share = total > 0 ? min(1, max(0, done / total)) : 1
        let rate = seconds > 0 ? (done - already) / seconds : 0
        let left = rate > 0 ? (total - done) / rate : 0
        let filled = Int(share * 24)
        let bar =
            hasBar
            ? " [\(String(repeating: "=", count: filled))\(String(repeating: " ", count: 24 - filled))]"
            : ""
        let parts = [
            "\(title)\(bar) \(Int(share * 100))%", "\(count(done)) of \(count(total)) \(unit)",
            "\(count(rate)) \(unit)/s", "\(duration(left)) left", detail,
        ]
        return parts.filter { !$0.isEmpty }.joined(separator: "  ")
    }

    static func count(_ value: Double) -> String {
        if value >= 1e6 { return String(format: "%.2fM", value / 1e6) }
        if value >= 1e4 { return String(format: "%.1fk", value / 1e3) }
        return value >= 10 || value == value.rounded()
            ? String(format: "%.0f", value) : String(format: "%.2f", value)
    }

    static func duration(_ seconds: Double) -> String {
        let whole = Int(max(0, min(seconds, 1e8)))
        if whole >= 3600 { return "\(whole / 3600)h \(whole % 3600 / 60)m" }
        return whole >= 60 ? "\(whole / 60)m \(whole % 60)s" : "\(whole)s"
    }

    static func bytes(_ count: Int) -> String { byteWords(count) }
}

import Foundation

/// One axis of a chart: the numbers it spans and where they lie in the picture.
package struct Axis {
    package let low: Double, high: Double
    /// Where `low` and `high` lie.
    package let start: Double, end: Double

    /// An axis; one without a span gets the least that numbers of that size can have.
    package init(low: Double, high: Double, start: Double, end: Double) {
        let least = max(abs(low) * 1e-9, 1e-12)
        (self.low, self.high) = (low, max(high, low + least))
        (self.start, self.end) = (start, end)
    }

    /// Where a number lies.
    package func position(_ value: Double) -> Double {
        start + (value - low) / (high - low) * (end - start)
    }

    /// Between two round numbers: 1, 2 or 5 times a power of ten.
    private var step: Double {
        let raw = (high - low) / 7
        let power = Foundation.pow(10, Foundation.log10(raw).rounded(.down))
        return ([1, 2, 5, 10].first { $0 * power >= raw } ?? 10) * power
    }

    /// Round numbers within the axis, two to eight.
    package var ticks: [Double] {
        let step = step
        var ticks: [Double] = []
        var index = (low / step).rounded(.up)
        while index * step <= high * (1 + 1e-12) + step * 1e-9, ticks.count < 20 {
            // Not -0.
            ticks.append(index * step + 0)
            index += 1
        }
        return ticks
    }

    /// A tick's number, told from that of the next.
    package func label(_ tick: Double) -> String {
        // Digits from the tick's first to the step's last.
        let digits = Foundation.log10(max(abs(tick), step) / step).rounded(.up)
        return Self.label(tick, digits: Int(max(2, min(15, digits + 1))))
    }

    /// A number as short as so many digits allow.
    package static func label(_ value: Double, digits: Int = 4) -> String {
        guard value != 0 else { return "0" }
        if abs(value) < 1e-3 || abs(value) >= 1e7 {
            let text = String(format: "%.\(digits - 1)e", value)
                .replacing(/\.?0*e/) { _ in "e" }
            return text.replacing(/e([-+])0*(?=[0-9])/) { "e\($0.1 == "-" ? "-" : "")" }
        }
        let places = max(0, digits - 1 - Int(Foundation.log10(abs(value)).rounded(.down)))
        let text = String(format: "%.\(places)f", value)
        guard text.contains(".") else { return text }
        return String(text.reversed().drop { $0 == "0" }.drop { $0 == "." }.reversed())
    }
}

import Foundation

/// One axis of a chart: the numbers it spans and where they lie in the picture.
package struct Axis {
    package let low: Double, high: Double
    /// Where `low` and `high` lie.
    package let start: Double, end: Double

    /// An axis of a span above zero.
    package init(low: Double, high: Double, start: Double, end: Double) {
        (self.low, self.high, self.start, self.end) = (low, high, start, end)
    }

    /// Where a number lies.
    package func position(_ value: Double) -> Double {
        start + (value - low) / (high - low) * (end - start)
    }

    /// Round numbers within the axis, three to seven.
    package var ticks: [Double] {
        let raw = (high - low) / 7
        let power = Foundation.pow(10, Foundation.log10(raw).rounded(.down))
        let step = ([1, 2, 5, 10].first { $0 * power >= raw } ?? 10) * power
        var ticks: [Double] = []
        var index = (low / step).rounded(.up)
        while index * step <= high * (1 + 1e-12) + step * 1e-9, ticks.count < 20 {
            // Not -0.
            ticks.append(index * step + 0)
            index += 1
        }
        return ticks
    }

    /// A tick's number.
    package static func label(_ value: Double) -> String {
        if abs(value) >= 1e5 || (value != 0 && abs(value) < 1e-3) {
            let text = String(format: "%.1e", value).replacingOccurrences(of: ".0e", with: "e")
            return text.replacing(/e([-+])0+(?=[0-9])/) { "e\($0.1 == "-" ? "-" : "")" }
        }
        let text = String(format: "%.4f", value)
        let cut = text.reversed().drop { $0 == "0" }.drop { $0 == "." }
        return value == value.rounded() ? String(format: "%.0f", value) : String(cut.reversed())
    }
}

import Cache
import Distill
import Foundation
import Pages

/// How often a model is right by how sure it is.
enum CalibrationChart {
    private static let width = 340.0, height = 366.0
    private static let left = 56.0, right = 326.0, top = 56.0, bottom = 316.0

    private static let longestName = 30

    /// Bars of accuracy beside the diagonal where it would equal confidence.
    ///
    /// The more tokens a bar has, the darker it is. Source: Guo et al. (2017), figure 1.
    static func picture(_ name: String, _ calibration: Calibration) -> Picture {
        let all = calibration.bins.reduce(1.0) { $0 + Double($1.count) }
        let error = String(format: "%.1f", 100 * calibration.error)
        var picture = Picture(
            width: width,
            height: height,
            title: "Calibration of \(name)",
            description: "Expected calibration error \(error) of 100. "
                + calibration.bins.filter { $0.count > 0 }.map {
                    String(
                        format: "Confidence %.0f %%: right %.0f %% (%.0f tokens).",
                        100 * $0.confidence,
                        100 * $0.accuracy,
                        Double($0.count)
                    )
                }.joined(separator: " ")
        )
        let x = Axis(low: 0, high: 1, start: left, end: right)
        let y = Axis(low: 0, high: 1, start: bottom, end: top)
        picture.text(DisplayText.name(name, to: longestName), (left, 20), size: 14, bold: true)
        picture.text("ECE \(error) %", (left, 40), size: 13)
        for tick in [0, 0.2, 0.4, 0.6, 0.8, 1.0] {
            picture.line((left, y.position(tick)), (right, y.position(tick)), .faint)
            picture.text("\(Int(100 * tick))", (left - 7, y.position(tick) + 4), anchor: .end)
            picture.text("\(Int(100 * tick))", (x.position(tick), bottom + 17), anchor: .middle)
        }
        let step = 1 / Double(max(1, calibration.bins.count))
        for (index, bin) in calibration.bins.enumerated() where bin.count > 0 {
            let accuracy = min(1, max(0, bin.accuracy))
            let start = x.position(Double(index) * step)
            let share = Double(bin.count) / all
            picture.rectangle(
                x: start + 0.8,
                y: y.position(accuracy),
                width: x.position(Double(index + 1) * step) - start - 1.6,
                height: bottom - y.position(accuracy),
                .blue,
                // The shade of a bar with a hundredth of the tokens can still be seen.
                opacity: 0.25 + 0.75 * min(1, share * 4),
                tip: String(
                    format: "confidence %.1f %%, right %.1f %%, %.0f tokens",
                    100 * bin.confidence,
                    100 * accuracy,
                    Double(bin.count)
                )
            )
        }
        picture.path([(left, bottom), (right, top)], .vermilion, width: 1.8, dashes: "6 4")
        picture.line((left, top), (left, bottom), .ink)
        picture.line((left, bottom), (right, bottom), .ink)
        let middle = (left + right) / 2
        picture.text(
            "confidence in the most likely token, %",
            (middle, bottom + 38),
            anchor: .middle
        )
        picture.text(
            "how often it is right, %",
            (16, (top + bottom) / 2),
            anchor: .middle,
            upright: true
        )
        return picture
    }
}

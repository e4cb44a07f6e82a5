/// A curve in one line of a terminal.
enum Sparkline {
    private static let bars = Array("▁▂▃▄▅▆▇█")

    /// Means of equal parts of the curve between its lowest and its highest, a character each; nothing of one point.
    static func text(_ points: [CurvePoint], width: Int) -> String {
        guard points.count > 1 else { return "" }
        let means = Curve.means(points, parts: max(1, width)).map(\.y)
        guard let low = means.min(), let high = means.max() else { return "" }
        return String(
            means.map { value in
                let share = high > low ? (value - low) / (high - low) : 0
                return bars[min(bars.count - 1, max(0, Int(share * Double(bars.count))))]
            }
        )
    }
}

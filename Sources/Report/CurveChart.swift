import Cache
import Foundation
import Pages

/// Curves of some runs over the steps.
struct CurveChart {
    /// One curve.
    struct Series {
        /// For the legend.
        let name: String
        let points: [CurvePoint]
        /// Of the run: the same in all charts of a report.
        let style: Int
        /// Drawn with marks and dashes: measured now and then, not at every step.
        var isMarked = false
    }

    let title: String
    /// What the figure is, with its unit.
    let label: String
    let series: [Series]

    private static let width = 440.0
    private static let left = 62.0, right = 428.0, plotHeight = 210.0
    private static let buckets = 220, smoothBuckets = 60
    private static let dashes: [String?] = [nil, "7 3", "2 3"]

    /// The picture; nil where there is not one point.
    func picture() -> Picture? {
        let shown = series.filter { !$0.points.isEmpty }
        let all = shown.flatMap(\.points)
        guard let first = all.first else { return nil }
        var (xs, ys) = ((first.x, first.x), (first.y, first.y))
        for point in all {
            xs = (min(xs.0, point.x), max(xs.1, point.x))
            ys = (min(ys.0, point.y), max(ys.1, point.y))
        }
        let legend = Legend(shown.map(\.name), from: Self.left, to: Self.right)
        let top = 36 + legend.height
        let bottom = top + Self.plotHeight
        let span = max(ys.1 - ys.0, abs(ys.1) * 1e-3, 1e-12)
        // Rates and losses begin at zero where that costs the curve little.
        let low = ys.0 >= 0 && ys.0 < 0.4 * ys.1 ? 0 : ys.0 - 0.04 * span
        let x = Axis(
            low: xs.0 > 0.3 * xs.1 ? xs.0 : 0,
            high: max(xs.1, xs.0 + 1),
            start: Self.left,
            end: Self.right
        )
        let y = Axis(low: low, high: max(ys.1 + 0.04 * span, low + 1e-12), start: bottom, end: top)
        var picture = Picture(
            width: Self.width,
            height: bottom + 46,
            title: title,
            description: description(shown)
        )
        picture.text(title, (Self.left, 20), size: 15, bold: true)
        picture.axes(x, y, labels: ("step", label))
        for (entry, one) in zip(legend.places, shown) {
            draw(one, x, y, in: &picture)
            let paint = Self.paint(one.style)
            let line = [(x: entry.x, y: entry.y - 4), (x: entry.x + 22, y: entry.y - 4)]
            picture.path(line, paint, width: 2.2, dashes: Self.dash(one))
            if one.isMarked { picture.circle((entry.x + 11, entry.y - 4), paint, radius: 3) }
            picture.text(entry.text, (entry.x + 27, entry.y), size: 12.5)
        }
        return picture
    }

    /// Colours first, then dashes besides, so that many runs are told apart.
    private static func paint(_ style: Int) -> Picture.Paint {
        Picture.Paint.series[style % Picture.Paint.series.count]
    }

    private static func dash(_ series: Series) -> String? {
        if series.isMarked { return "3 3" }
        return dashes[series.style / Picture.Paint.series.count % dashes.count]
    }

    private func draw(_ one: Series, _ x: Axis, _ y: Axis, in picture: inout Picture) {
        func places(_ points: [CurvePoint]) -> [(x: Double, y: Double)] {
            points.map { (x.position($0.x), y.position($0.y)) }
        }
        let paint = Self.paint(one.style)
        let raw = places(Curve.thinned(one.points, buckets: Self.buckets))
        let smooth = Curve.smoothed(one.points, buckets: Self.smoothBuckets)
        let isNoisy = smooth.count < one.points.count && !one.isMarked
        picture.path(
            raw,
            paint,
            width: isNoisy ? 1 : 2,
            dashes: isNoisy ? nil : Self.dash(one),
            opacity: isNoisy ? 0.35 : 1
        )
        if isNoisy { picture.path(places(smooth), paint, width: 2.2, dashes: Self.dash(one)) }
        guard one.isMarked || raw.count == 1 else { return }
        for place in raw.count <= 40 ? raw : [] { picture.circle(place, paint, radius: 3) }
    }

    private func description(_ shown: [Series]) -> String {
        shown.map { one in
            guard let first = one.points.first, let last = one.points.last,
                let low = one.points.min(by: { $0.y < $1.y })
            else { return "" }
            return "\(one.name): \(Axis.label(first.y)) at step \(Self.step(first.x)), "
                + "\(Axis.label(last.y)) at step \(Self.step(last.x)), lowest \(Axis.label(low.y)) at step "
                + "\(Self.step(low.x))."
        }.joined(separator: " ")
    }

    /// The numbers of the picture as a table: steps, and a column a curve with what it was there or, measured less
    /// often, last before.
    ///
    /// - Parameter rows: At most, evenly spread over the steps that any curve has.
    func table(rows: Int = 12) -> (head: [String], rows: [[String]]) {
        let shown = series.filter { !$0.points.isEmpty }
        let all = Set(shown.flatMap { $0.points.map(\.x) }).sorted()
        let count = min(rows, all.count)
        let steps = (0..<count).map { all[$0 * (all.count - 1) / max(1, count - 1)] }
        let columns = shown.map { one in
            var next = 0
            return steps.map { step in
                while next < one.points.count, one.points[next].x <= step { next += 1 }
                return next > 0 ? String(format: "%.4g", one.points[next - 1].y) : "–"
            }
        }
        return (
            ["step"] + shown.map(\.name),
            steps.indices.map { row in [Self.step(steps[row])] + columns.map { $0[row] } }
        )
    }

    private static func step(_ value: Double) -> String { String(format: "%.0f", value) }
}

/// The names of curves in rows, each behind its sample of a line.
struct Legend {
    /// Where each stands, and what is left of its name.
    let places: [(x: Double, y: Double, text: String)]
    /// Of all rows.
    let height: Double

    private static let row = 18.0, letter = 7.0, sample = 27.0, gap = 14.0, longest = 30

    /// - Parameters:
    ///   - left: Where a row begins.
    ///   - right: Where it ends.
    init(_ names: [String], from left: Double, to right: Double) {
        var (x, y) = (left, 38.0)
        places = names.map { name in
            let text = DisplayText.name(name, to: Self.longest)
            let width = Self.sample + Self.letter * Double(text.unicodeScalars.count)
            if x > left, x + width > right { (x, y) = (left, y + Self.row) }
            defer { x += width + Self.gap }
            return (x, y, text)
        }
        height = names.isEmpty ? 0 : y - 38 + Self.row
    }
}

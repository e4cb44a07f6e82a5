import Foundation

/// A figure at a step.
public struct CurvePoint: Sendable, Equatable {
    /// The step.
    public var x: Double
    /// The figure.
    public var y: Double

    /// A figure at a step.
    public init(_ x: Double, _ y: Double) { (self.x, self.y) = (x, y) }
}

/// What is drawn of the many points of a long run.
enum Curve {
    /// The first and last point and, of each of `buckets` equal parts, the lowest and the highest: no spike is
    /// lost, and no more points are left than a screen has.
    ///
    /// - Complexity: O(points).
    static func thinned(_ points: [CurvePoint], buckets: Int) -> [CurvePoint] {
        guard points.count > 2 * buckets + 2, let first = points.first, let last = points.last
        else { return points }
        var kept = [first]
        for bucket in 0..<buckets {
            let range = part(bucket, of: buckets, points.count)
            guard
                let low = range.min(by: { points[$0].y < points[$1].y }),
                let high = range.max(by: { points[$0].y < points[$1].y })
            else { continue }
            for index in low == high ? [low] : [min(low, high), max(low, high)]
            where index != 0 && index != points.count - 1 { kept.append(points[index]) }
        }
        return kept + [last]
    }

    /// The means of `buckets` equal parts, each at the middle of its steps; the line that an eye follows through
    /// the noise of single batches.
    static func smoothed(_ points: [CurvePoint], buckets: Int) -> [CurvePoint] {
        points.count > 2 * buckets ? means(points, parts: buckets) : points
    }

    /// The means of at most `parts` equal parts.
    static func means(_ points: [CurvePoint], parts: Int) -> [CurvePoint] {
        let parts = min(parts, points.count)
        return (0..<parts).compactMap { mean(points[part($0, of: parts, points.count)]) }
    }

    /// The mean of the last twentieth of the points, or of the last.
    static func end(_ points: [CurvePoint]) -> Double? {
        mean(points.suffix(max(1, points.count / 20)))?.y
    }

    /// Their middle; nil of none.
    static func mean(_ points: some Collection<CurvePoint>) -> CurvePoint? {
        guard !points.isEmpty else { return nil }
        let sum = points.reduce(into: CurvePoint(0, 0)) {
            $0.x += $1.x
            $0.y += $1.y
        }
        return CurvePoint(sum.x / Double(points.count), sum.y / Double(points.count))
    }

    private static func part(_ index: Int, of parts: Int, _ count: Int) -> Range<Int> {
        (index * count / parts)..<((index + 1) * count / parts)
    }
}

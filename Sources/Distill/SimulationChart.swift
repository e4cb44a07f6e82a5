import Foundation
import Pages

/// The pictures of a simulation.
enum SimulationChart {
    /// The square that a picture of points spans.
    struct Square: Equatable {
        let x: Double, y: Double
        let side: Double

        /// The smallest that holds all points, and a little more.
        init(around points: [[Float]]) {
            func range(_ axis: Int) -> (low: Double, high: Double) {
                let values = points.map { Double($0[axis]) }
                return (values.min() ?? 0, values.max() ?? 0)
            }
            let (h, v) = (range(0), range(1))
            side = max(h.high - h.low, v.high - v.low, 1e-6) * 1.1
            x = (h.low + h.high - side) / 2
            y = (v.low + v.high - side) / 2
        }
    }

    private static let width = 420.0, height = 440.0
    private static let left = 62.0, right = 396.0, top = 66.0, bottom = 390.0

    /// The student's and the teacher's points.
    ///
    /// - Parameter square: The same for pictures that are to be compared.
    static func points(
        _ title: String,
        student: [[Float]],
        teacher: [[Float]],
        within square: Square
    ) -> Picture {
        // Both axes have the same scale: the plot's sides are in the ratio of what they span.
        let unit = (bottom - top) / square.side
        let extra = ((right - left) / unit - square.side) / 2
        let x = Axis(
            low: square.x - extra,
            high: square.x + square.side + extra,
            start: left,
            end: right
        )
        let y = Axis(low: square.y, high: square.y + square.side, start: bottom, end: top)
        var svg = frame(title, x, y, labels: ("first coordinate", "second coordinate"))
        func place(_ point: [Float]) -> (x: Double, y: Double) {
            (x.position(Double(point[0])), y.position(Double(point[1])))
        }
        for point in teacher { svg.circle(place(point), .blue) }
        for point in student { svg.triangle(place(point), .vermilion) }
        svg.triangle((x: left + 8, y: 45), .vermilion)
        svg.text("student", (x: left + 18, y: 49))
        svg.circle((x: left + 88, y: 45), .blue)
        svg.text("teacher", (x: left + 98, y: 49))
        return svg
    }

    /// The losses of both runs by step.
    static func losses(_ title: String, different: [Double], shared: [Double]) -> Picture {
        let highest = max((different + shared).max() ?? 0, 1e-9)
        let x = Axis(low: 0, high: Double(max(1, shared.count - 1)), start: left, end: right)
        let y = Axis(low: 0, high: highest * 1.05, start: bottom, end: top)
        var svg = frame(title, x, y, labels: ("step", "loss (nats, mean over the points)"))
        func curve(_ losses: [Double]) -> [(x: Double, y: Double)] {
            // More points than pixels would only make the file large.
            let stride = max(1, losses.count / 400)
            return losses.indices.filter { $0 % stride == 0 || $0 == losses.count - 1 }
                .map { (x.position(Double($0)), y.position(max(0, losses[$0]))) }
        }
        svg.path(curve(different), .purple, width: 2.2, dashes: "7 4")
        svg.path(curve(shared), .green, width: 2.2)
        svg.path([(left, 45), (left + 28, 45)], .purple, width: 2.2, dashes: "7 4")
        svg.text(SimulationHeads.different.title, (x: left + 34, y: 49))
        svg.path([(left + 150, 45), (left + 178, 45)], .green, width: 2.2)
        svg.text(SimulationHeads.shared.title, (x: left + 184, y: 49))
        return svg
    }

    private static func frame(
        _ title: String,
        _ x: Axis,
        _ y: Axis,
        labels: (x: String, y: String)
    ) -> Picture {
        var svg = Picture(width: width, height: height, title: title)
        svg.rectangle(x: 0, y: 0, width: width, height: height, .paper)
        svg.text(title, (x: left, y: 26), size: 15, bold: true)
        svg.axes(x, y, labels: labels)
        return svg
    }
}

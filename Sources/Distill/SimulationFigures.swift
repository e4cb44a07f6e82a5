import Foundation

/// How two clouds lie, point i of one belonging to point i of the other.
public struct SimulationFigures: Codable, Sendable, Equatable {
    /// From the mean of the student's points to that of the teacher's.
    public var meanDistance: Double
    /// From a student's point to its teacher's, root of the mean square.
    public var pairDistance: Double
    /// The share of all points whose nearest neighbour belongs to the other cloud.
    public var mixed: Double
    /// Standard deviation of a coordinate around the cloud's mean.
    public var studentSpread: Double
    /// See `studentSpread`.
    public var teacherSpread: Double

    enum CodingKeys: String, CodingKey {
        case mixed
        case meanDistance = "mean_distance"
        case pairDistance = "pair_distance"
        case studentSpread = "student_spread"
        case teacherSpread = "teacher_spread"
    }

    init(student: [[Float]], teacher: [[Float]]) {
        let (s, t) = (student.map { $0.map(Double.init) }, teacher.map { $0.map(Double.init) })
        let (center, other) = (Self.mean(s), Self.mean(t))
        meanDistance = Self.squared(center, other).squareRoot()
        let sum = zip(s, t).reduce(0) { $0 + Self.squared($1.0, $1.1) }
        pairDistance = (sum / Double(s.count)).squareRoot()
        mixed = Self.mixed(s, t)
        studentSpread = Self.spread(s, around: center)
        teacherSpread = Self.spread(t, around: other)
    }

    private static func mean(_ points: [[Double]]) -> [Double] {
        (0..<2).map { axis in points.reduce(0) { $0 + $1[axis] } / Double(points.count) }
    }

    private static func squared(_ a: [Double], _ b: [Double]) -> Double {
        (0..<2).reduce(0) { $0 + (a[$1] - b[$1]) * (a[$1] - b[$1]) }
    }

    private static func spread(_ points: [[Double]], around center: [Double]) -> Double {
        let sum = points.reduce(0) { $0 + squared($1, center) }
        return (sum / Double(2 * points.count)).squareRoot()
    }

    private static func mixed(_ s: [[Double]], _ t: [[Double]]) -> Double {
        func nearest(_ point: [Double], in cloud: [[Double]], but index: Int?) -> Double {
            cloud.indices.reduce(Double.infinity) {
                $1 == index ? $0 : min($0, squared(point, cloud[$1]))
            }
        }
        func crossing(_ own: [[Double]], _ other: [[Double]]) -> Int {
            own.indices.count {
                nearest(own[$0], in: other, but: nil) < nearest(own[$0], in: own, but: $0)
            }
        }
        return Double(crossing(s, t) + crossing(t, s)) / Double(s.count + t.count)
    }
}

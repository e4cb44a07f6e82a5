import Foundation

/// One run of one divergence.
struct SimulationRun: Codable, Equatable {
    /// Before every step, and after the last: nats, mean over the points.
    var losses: [Double]
    /// The student's points after the last step, x and y.
    var student: [[Float]]
}

/// `result.json` of a divergence: all that its pictures and numbers are made of.
struct SimulationResult: Codable, Equatable {
    var divergence: String
    /// Those that decide the numbers.
    var settings: [String: String]
    /// Points, x and y: the student's before training, and the teacher's.
    var before: [[Float]]
    /// See `before`.
    var teacher: [[Float]]
    var different: SimulationRun
    var shared: SimulationRun

    enum CodingKeys: String, CodingKey {
        case divergence, settings, before, teacher
        case different = "different_heads"
        case shared = "shared_head"
    }

    func run(_ heads: SimulationHeads) -> SimulationRun {
        heads == .different ? different : shared
    }

    /// Nil where there is none, or none that can be read.
    static func read(_ url: URL) -> SimulationResult? {
        guard let data = try? Data(contentsOf: url),
            let result = try? JSONDecoder().decode(SimulationResult.self, from: data),
            result.isWhole
        else { return nil }
        return result
    }

    /// Whether it has the shape that drawing counts on.
    private var isWhole: Bool {
        let clouds = [before, teacher, different.student, shared.student]
        return !teacher.isEmpty
            && clouds.allSatisfy {
                $0.count == teacher.count && $0.allSatisfy { $0.count == 2 }
            }
            && !different.losses.isEmpty && different.losses.count == shared.losses.count
    }
}

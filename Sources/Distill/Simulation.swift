import Foundation
import Models
import Tensors

/// Whose head gives the teacher's logits.
public enum SimulationHeads: String, Codable, Sendable, CaseIterable {
    /// Its own: each side has a head, as in distillation between two models.
    case different = "different_heads"
    /// The student's, as it is at that step, without gradient.
    case shared = "shared_head"

    /// For people.
    public var title: String {
        switch self {
        case .different: "different heads"
        case .shared: "shared head"
        }
    }
}

/// The paper's simulation: whether pulling the student's distributions to the teacher's pulls its
/// hidden states there as well.
///
/// Points in the plane stand for hidden states of size 2. The student's points and head learn by plain
/// SGD on D(teacher || student) of the points; the teacher's stay (Zhang et al. 2024, figure 1). Both runs of every divergence start from the same numbers.
struct Simulation {
    let settings: SimulationSettings
    /// (points, 2), the student's before training.
    let student: Matrix
    /// (points, 2).
    let teacher: Matrix
    /// (classes, 2) each.
    let studentHead: Matrix, teacherHead: Matrix
    private let engine = HeadLoss()

    /// - Throws: What `SimulationSettings.validate` throws.
    init(_ settings: SimulationSettings) throws {
        try settings.validate()
        self.settings = settings
        func normal(_ purpose: String, _ rows: Int, deviation: Float = 1) -> Matrix {
            var random = RandomNumbers(seed: settings.seed, purpose: "simulation \(purpose)")
            let matrix = Matrix(uninitialized: rows, 2)
            matrix.fillNormal(deviation: deviation, using: &random)
            return matrix
        }
        student = normal("student points", settings.points)
        for r in 0..<settings.points {
            for c in 0..<2 { student[r, c] += settings.studentMean }
        }
        teacher = normal("teacher points", settings.points, deviation: settings.teacherDeviation)
        studentHead = normal("student head", settings.classes)
        teacherHead = normal("teacher head", settings.classes)
    }

    /// One run from the start to the end.
    ///
    /// - Parameter progress: Called before each step with its number, from 0, and its loss; the run is
    ///   given up when it says false.
    /// - Returns: Nil when it was given up.
    /// - Throws: `SimulationError.diverged`.
    func run(
        _ divergence: Divergence,
        _ heads: SimulationHeads,
        progress: (_ step: Int, _ loss: Double) -> Bool
    ) throws -> SimulationRun? {
        let points = student.copied()
        let dPoints = Matrix(zeros: settings.points, 2)
        let weight = Parameter(
            name: "head",
            shape: [settings.classes, 2],
            value: studentHead.copied()
        )
        weight.prepareGradient()
        let head = HeadProduct(weight, softCap: nil, compute: .f32)
        let teacherHead =
            heads == .shared ? head : HeadProduct(frozen: teacherHead, softCap: nil, compute: .f32)
        var losses: [Double] = []
        for step in 0...settings.steps {
            let loss = loss(
                divergence,
                points: points,
                head: head,
                teacherHead: teacherHead,
                dPoints: dPoints
            )
            guard loss.isFinite, points.values.allSatisfy(\.isFinite) else {
                throw SimulationError.diverged(
                    divergence: divergence.rawValue,
                    heads: heads.title,
                    step: step
                )
            }
            losses.append(loss)
            // One loss more than steps: the last is that of the points that are drawn.
            guard step < settings.steps else { break }
            guard progress(step, loss) else { return nil }
            descend(points, dPoints)
            if let gradient = weight.gradient { descend(weight.value, gradient) }
            head.refresh()
        }
        return SimulationRun(losses: losses, student: Self.pairs(points))
    }

    /// The mean over the points of D(teacher || student), with the gradients of their mean or sum: by
    /// the student's points into `dPoints` (points, 2), and by its head added to `head.gradient`.
    private func loss(
        _ divergence: Divergence,
        points: Matrix,
        head: HeadProduct,
        teacherHead: HeadProduct,
        dPoints: Matrix
    ) -> Double {
        let isMean = settings.reduction == SimulationSettings.Reduction.mean.rawValue
        let sums = engine.compare(
            HeadLoss.Side(hidden: points, head: head, dHidden: dPoints),
            HeadLoss.Target(
                source: .product(hidden: teacher, head: teacherHead),
                distance: .divergence(divergence),
                temperature: settings.temperature,
                targetTemperature: settings.temperature,
                weight: isMean ? 1 / Float(settings.points) : 1
            )
        )
        return sums.distance / Double(settings.points)
    }

    /// value -= learning rate x gradient, and the gradient is zero again.
    private func descend(_ value: Matrix, _ gradient: Matrix) {
        for index in 0..<value.count {
            value.base[index] -= settings.learningRate * gradient.base[index]
            gradient.base[index] = 0
        }
    }

    /// The rows of a matrix of two columns.
    static func pairs(_ matrix: Matrix) -> [[Float]] {
        (0..<matrix.rows).map { [matrix[$0, 0], matrix[$0, 1]] }
    }
}

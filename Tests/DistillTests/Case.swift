import Foundation
import Tensors

@testable import Distill
@testable import Models

struct MissingValue: Error {
    let what: String
}

/// `#require` outside of a test body.
func required<T>(_ value: T?, _ what: String = "a value") throws -> T {
    guard let value else { throw MissingValue(what: what) }
    return value
}

/// The derivative along a random direction, by central differences.
func slope(
    of loss: () throws -> Double,
    along values: Matrix,
    gradient: [Float]
) throws -> (numeric: Double, analytic: Double) {
    var random = RandomNumbers(seed: 9, purpose: "direction")
    let direction = (0..<values.count).map { _ in random.normal() }
    let start = values.values
    func shifted(_ step: Float) throws -> Double {
        for i in 0..<values.count { values.base[i] = start[i] + step * direction[i] }
        return try loss()
    }
    let step: Float = 2e-3
    let numeric = try (shifted(step) - shifted(-step)) / (2 * Double(step))
    _ = try shifted(0)
    let analytic = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    return (numeric, analytic)
}

/// A criterion with everything that it needs, small enough to look at every number.
final class Case {
    let criterion: any Criterion
    let batch: CriterionBatch
    let head: Parameter
    let models: CriterionModels
    var engine = HeadLoss()

    init(
        criterion: any Criterion,
        batch: CriterionBatch,
        head: Matrix,
        studentEmbedding: Matrix,
        teacherHead: Matrix,
        teacherEmbedding: Matrix,
        studentCap: Float? = nil,
        teacherCap: Float? = nil,
        compute: ComputeType = .f32,
        prepares: Bool = false
    ) throws {
        self.criterion = criterion
        self.batch = batch
        self.head = Parameter(
            name: "head",
            shape: [head.rows, head.columns],
            value: head.copied()
        )
        self.head.prepareGradient()
        models = CriterionModels(
            studentHead: HeadProduct(self.head, softCap: studentCap, compute: compute),
            studentEmbedding: studentEmbedding,
            teacherHead: HeadProduct(
                frozen: teacherHead,
                softCap: teacherCap,
                compute: compute
            ),
            teacherEmbedding: EmbeddingRows(all: teacherEmbedding)
        )
        if prepares { try criterion.prepare(models) }
    }

    /// Gradients by name, all of them new.
    func gradients(
        of batches: [CriterionBatch]? = nil
    ) throws -> (sums: CriterionSums, gradients: [String: [Float]]) {
        let batches = batches ?? [batch]
        head.gradient?.fill(0)
        for parameter in criterion.projectors.flatMap(\.parameters) { parameter.gradient?.fill(0) }
        let step = try criterion.statistics(of: batches, models: models, engine: engine)
        var sums = CriterionSums()
        var hidden: [Float] = []
        for (index, batch) in batches.enumerated() {
            let dHidden = Matrix(
                uninitialized: batch.student.count,
                batch.student.hidden.columns
            )
            sums.add(
                try criterion.evaluate(
                    batch,
                    at: index,
                    models: models,
                    step: step,
                    engine: engine,
                    gradients: StateGradients(hidden: dHidden)
                )
            )
            hidden += dHidden.values
        }
        var gradients = ["student/hidden": hidden, "student/head": head.gradient?.values ?? []]
        for parameter in criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            gradients["projectors/\(key)"] = parameter.gradient?.values ?? []
        }
        return (sums, gradients)
    }

    /// The mean total loss, without gradients.
    func loss(part: String = "total") throws -> Double {
        let step = try criterion.statistics(of: [batch], models: models, engine: engine)
        let sums = try criterion.evaluate(
            batch,
            at: 0,
            models: models,
            step: step,
            engine: engine,
            gradients: nil
        )
        return sums.means[part] ?? .nan
    }
}

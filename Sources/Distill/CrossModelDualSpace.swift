import CKernels
import Tensors

/// `dskd_cma`: dual-space distillation between any two vocabularies, positions matched by attention.
///
/// t2s_kd counts only where the projected teacher predicts the label.
public final class CrossModelDualSpace: Criterion {
    /// The name in settings files.
    public static let name = "dskd_cma"
    /// Attention matches positions.
    public static let pairsPositions = false
    /// Hidden states, head and embedding rows.
    public static let usesTeacher = true
    /// For index vectors and values.
    public static let usesTeacherEmbedding = true
    /// D -> d, d -> D, and 2d -> 2D.
    public let toStudent: Projector, toTeacher: Projector, query: Projector
    /// All three.
    public var projectors: [Projector] { [toStudent, toTeacher, query] }
    var weights: DualSpaceWeights
    private let settings: CriterionSettings

    /// Draws the projectors `t2s`, `s2t` and `query`.
    public init(settings: CriterionSettings, sizes: CriterionSizes, seed: UInt64) {
        self.settings = settings
        weights = DualSpaceWeights(settings)
        toStudent = Projector(
            name: "t2s",
            inputs: sizes.teacher,
            outputs: sizes.student,
            seed: seed
        )
        toTeacher = Projector(
            name: "s2t",
            inputs: sizes.student,
            outputs: sizes.teacher,
            seed: seed
        )
        query = Projector(
            name: "query",
            inputs: 2 * sizes.student,
            outputs: 2 * sizes.teacher,
            seed: seed
        )
    }

    /// Positions, and the standard deviations that N(.) divides by, over the whole step.
    public func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels
    ) throws -> StepStatistics {
        var hidden = Moments()
        var labels = Moments()
        var keys = Moments()
        var step = StepStatistics()
        for batch in batches {
            step.studentPositions += batch.student.count
            let index = try indexVectors(batch.teacher, models.teacherEmbedding)
            let half = index.columns / 2
            keys.add(index)
            labels.add(index.slice(columns: half..<index.columns))
            hidden.add(batch.teacher.hidden)
        }
        step.hiddenDeviation = hidden.deviation
        step.labelDeviation = labels.deviation
        step.keyDeviation = keys.deviation
        return step
    }

    /// Losses and gradients of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        dHidden: Matrix?
    ) throws -> CriterionSums {
        try requireBothSides(batch)
        // u (n, 2d) and v (m, 2D); N(v)'s division is part of the attention's scale.
        let u = try indexVectors(batch.student, EmbeddingRows(all: models.studentEmbedding))
        let v = try indexVectors(batch.teacher, models.teacherEmbedding)
        let attention = CrossModelAttention(
            queries: query.apply(u),
            keys: v,
            scale: 1 / (Float(v.columns).squareRoot() * step.keyDeviation),
            queryOffsets: batch.student.offsets,
            keyOffsets: batch.teacher.offsets
        )
        let content = valueContent(batch.teacher.hidden, index: v, step: step)
        let values = toStudent.apply(content)
        let studentValues = toTeacher.apply(batch.student.hidden)
        let (z, g) = attention.forward(values: values, studentValues: studentValues)
        let gradients = dHidden.map {
            DualSpaceLosses.Gradients(
                hidden: $0,
                toStudent: Matrix(uninitialized: z.rows, z.columns),
                toTeacher: Matrix(uninitialized: g.rows, g.columns)
            )
        }
        let losses = DualSpaceLosses(settings: settings, weights: weights, gated: true)
        let sums = losses.evaluate(
            batch,
            toStudent: z,
            toTeacher: g,
            models: models,
            step: step,
            engine: engine,
            gradients: gradients
        )
        guard let gradients else { return sums }
        let d = attention.backward(
            values: values,
            studentValues: studentValues,
            dToStudent: gradients.toStudent,
            dToTeacher: gradients.toTeacher
        )
        query.backward(u, dOut: d.queries)
        toStudent.backward(content, dOut: d.values)
        toTeacher.backward(batch.student.hidden, dOut: d.studentValues, dX: gradients.hidden)
        return sums
    }

    /// N(H_j) + N(E_t[y_j]), (m, D); the labels' rows are the right half of the index vectors.
    private func valueContent(_ hidden: Matrix, index: Matrix, step: StepStatistics) -> Matrix {
        let content = Matrix(zeros: hidden.rows, hidden.columns)
        let half = index.columns / 2
        for row in 0..<hidden.rows {
            ck_axpy(content.row(row), hidden.row(row), 1 / step.hiddenDeviation, half)
            ck_axpy(content.row(row), index.row(row) + half, 1 / step.labelDeviation, half)
        }
        return content
    }

    /// [E[x] ; E[y]], (rows, twice the width).
    private func indexVectors(_ side: SupervisedRows, _ embedding: EmbeddingRows) throws -> Matrix {
        let width = embedding.rows.columns
        let index = Matrix(uninitialized: side.count, 2 * width)
        try embedding.gather(side.inputs, into: index.slice(columns: 0..<width))
        try embedding.gather(side.labels, into: index.slice(columns: width..<(2 * width)))
        return index
    }

    private func requireBothSides(_ batch: CriterionBatch) throws {
        let (student, teacher) = (batch.student.offsets, batch.teacher.offsets)
        precondition(student.count == teacher.count, "the two sides hold different examples")
        for example in 0..<(student.count - 1) {
            guard student[example] < student[example + 1], teacher[example] < teacher[example + 1]
            else { throw DistillError.emptyExample(example: example) }
        }
    }
}

/// The unbiased standard deviation of all elements of some matrices, summed in double.
struct Moments {
    private var totals = (0.0, 0.0)
    private var count = 0

    mutating func add(_ matrix: Matrix) {
        count += matrix.count
        withUnsafeMutablePointer(to: &totals) { pointer in
            pointer.withMemoryRebound(to: Double.self, capacity: 2) { totals in
                for row in 0..<matrix.rows { ck_moments(matrix.row(row), matrix.columns, totals) }
            }
        }
    }

    /// 1 where there is nothing to divide by.
    var deviation: Float {
        guard count > 1 else { return 1 }
        let mean = totals.0 / Double(count)
        let variance = (totals.1 - Double(count) * mean * mean) / Double(count - 1)
        return variance > 0 ? Float(variance.squareRoot()) : 1
    }
}

import CKernels
import Tensors

/// `dskd_cma`: dual-space distillation between any two vocabularies, positions matched by attention.
///
/// t2s_kd counts only where the projected teacher predicts the label.
public final class CrossModelDualSpace: Criterion {
    /// The name in settings files.
    public static let name = "dskd_cma"
    /// One line for lists.
    public static let summary =
        "dual-space distillation, positions matched by cross-model attention"
    /// Hidden states, head and embedding rows; attention matches positions.
    public static let needs: CriterionNeeds = [.hiddenStates, .distribution, .head, .embedding]
    /// All three.
    public static let projectorNames = ["t2s", "s2t", "query"]
    /// D -> d, d -> D, and 2d -> 2D.
    public let toStudent: Projector, toTeacher: Projector, query: Projector
    /// All three.
    public var projectors: [Projector] { [toStudent, toTeacher, query] }
    var weights: DualSpaceWeights
    private let settings: CriterionSettings

    /// Draws the projectors `t2s`, `s2t` and `query`.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        try settings.requireSignal(for: .forwardKL)
        weights = DualSpaceWeights(settings)
        let (student, teacher) = (context.sizes.student, context.sizes.teacher)
        toStudent = try context.projector("t2s", inputs: teacher, outputs: student)
        toTeacher = try context.projector("s2t", inputs: student, outputs: teacher)
        query = try context.projector("query", inputs: 2 * student, outputs: 2 * teacher)
    }

    /// Positions, and the standard deviations that N(.) divides by, over the whole step.
    public func statistics(
        of batches: [CriterionBatch],
        isWhole: Bool,
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        var step = StepStatistics()
        for batch in batches {
            step.studentPositions += batch.student.count
            let index = try indexVectors(batch.teacher, models.teacherEmbedding)
            let half = index.columns / 2
            step.keys.add(index)
            step.labels.add(index.slice(columns: half..<index.columns))
            step.hidden.add(batch.teacher.hidden)
        }
        return step
    }

    /// Losses and gradients of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        let v = try indexVectors(batch.teacher, models.teacherEmbedding)
        let (attention, queries) = try attention(batch, keys: v, models: models, step: step)
        let values = toStudent.apply(valueContent(batch.teacher.hidden, index: v, step: step))
        let studentValues = toTeacher.apply(batch.student.hidden)
        let (z, g) = attention.forward(values: values.out, studentValues: studentValues.out)
        let inner = gradients.map {
            DualSpaceLosses.Gradients(
                hidden: $0.hidden,
                toStudent: Matrix(uninitialized: z.rows, z.columns),
                toTeacher: Matrix(uninitialized: g.rows, g.columns)
            )
        }
        let losses = DualSpaceLosses(settings: settings, weights: weights, gated: true)
        let sums = try losses.evaluate(
            batch,
            toStudent: z,
            toTeacher: g,
            models: models,
            step: step,
            engine: engine,
            gradients: inner
        )
        guard let inner else { return sums }
        let d = attention.backward(
            values: values.out,
            studentValues: studentValues.out,
            dToStudent: inner.toStudent,
            dToTeacher: inner.toTeacher
        )
        query.backward(queries, dOut: d.queries)
        toStudent.backward(values, dOut: d.values)
        toTeacher.backward(studentValues, dOut: d.studentValues, dX: inner.hidden)
        return sums
    }

    /// What each side's positions look at of the other's, as the projectors are now.
    ///
    /// - Parameter keys: v (m, 2D), the teacher's index vectors; N(v)'s division is part of the scale.
    private func attention(
        _ batch: CriterionBatch,
        keys v: Matrix,
        models: CriterionModels,
        step: StepStatistics
    ) throws -> (CrossModelAttention, Projector.Pass) {
        try requireBothSides(batch)
        let u = try indexVectors(batch.student, EmbeddingRows(all: models.studentEmbedding))
        let queries = query.apply(u)
        let attention = CrossModelAttention(
            queries: queries.out,
            keys: v,
            scale: 1 / (Float(v.columns).squareRoot() * step.keyDeviation),
            queryOffsets: batch.student.offsets,
            keyOffsets: batch.teacher.offsets
        )
        return (attention, queries)
    }

    /// The alignment of each example: the teacher's positions that a student's position reads,
    /// (n_e, m_e), and the student's that a teacher's reads, (m_e, n_e); rows add up to one.
    func alignments(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics
    ) throws -> [(toStudent: Matrix, toTeacher: Matrix)] {
        let v = try indexVectors(batch.teacher, models.teacherEmbedding)
        let (attention, _) = try attention(batch, keys: v, models: models, step: step)
        return (0..<batch.student.exampleCount).map {
            attention.probabilities(example: $0)
        }
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
        for example in 0..<batch.student.exampleCount {
            guard !batch.student.range(ofExample: example).isEmpty,
                !batch.teacher.range(ofExample: example).isEmpty
            else { throw DistillError.emptyExample(example: example) }
        }
    }
}

/// The unbiased standard deviation of all elements of some matrices, summed in double.
struct Moments: Sendable {
    /// The sum of the elements, that of their squares, and their number.
    var totals = [0.0, 0.0, 0.0]

    mutating func add(_ matrix: Matrix) {
        totals[2] += Double(matrix.count)
        totals.withUnsafeMutableBufferPointer { totals in
            for row in 0..<matrix.rows {
                ck_moments(matrix.row(row), matrix.columns, totals.baseAddress)
            }
        }
    }

    /// 1 where there is nothing to divide by.
    var deviation: Float {
        let count = totals[2]
        guard count > 1 else { return 1 }
        let mean = totals[0] / count
        let variance = (totals[1] - count * mean * mean) / (count - 1)
        return variance > 0 ? Float(variance.squareRoot()) : 1
    }
}

import Models
import Tensors

/// Rows of a micro-batch that pair, and what the teacher says at each of them.
struct TeacherAgreement: Sendable {
    /// Rows of the two sides, pair by pair.
    var student: [Int] = [], teacher: [Int] = []
    /// The teacher's most likely token at each pair, in the student's vocabulary.
    var labels: [UInt32] = []
    /// Whether the projected teacher says the same.
    var agrees: [Bool] = []
}

/// What `dskd_v2` and `dskd_v2_eta` share: given which positions pair and which tokens are the same.
///
/// Source: arXiv 2504.11426.
final class DualSpaceV2Losses {
    /// D -> d, without bias; the other way is computed from the heads, not learnt.
    let toStudent: Projector
    let settings: CriterionSettings
    var weights: DualSpaceWeights
    /// Whether losses are divided by the pairs instead of the student's positions.
    let dividesByPairs: Bool
    /// pinv(W_t) transposed, (shared, D).
    private var inverse: Matrix?
    /// P_s2t [D, d], and the version of W_s that it was computed from.
    private var toTeacher: (matrix: Matrix, version: Int)?

    init(_ context: CriterionContext, dividesByPairs: Bool) throws {
        settings = context.settings
        try settings.requireWhole(dividesByPairs ? "dskd_v2_eta" : "dskd_v2")
        try settings.requireSignal(for: settings.divergence)
        weights = DualSpaceWeights(settings)
        self.dividesByPairs = dividesByPairs
        if let text = settings.projectors["t2s"], text != "t-s" {
            throw DistillError.badSetting(
                key: "projectors.t2s",
                value: "\"\(text)\"",
                remedy: "dskd_v2 starts from a least-squares solution: t-s alone"
            )
        }
        toStudent = try context.projector(
            "t2s",
            inputs: context.sizes.teacher,
            outputs: context.sizes.student,
            hasBias: false
        )
    }

    /// The least-squares solution of W_s P = W_t on the shared tokens.
    func prepare(_ models: CriterionModels, _ shared: SharedTokens) {
        let rows = headRows(shared)
        guard let solver = LeastSquares(models.studentHead.weight.gathered(rows.student)) else {
            return
        }
        toStudent.weight?.value.assign(
            solver.solve(models.teacherHead.weight.gathered(rows.teacher))
        )
    }

    /// The rows of the two heads that are compared, pair by pair.
    private func headRows(_ shared: SharedTokens) -> (student: [Int], teacher: [Int]) {
        let pairs = shared.pairs.prefix(settings.topVocabulary ?? shared.pairs.count)
        return (pairs.map { Int($0.student) }, pairs.map { Int($0.teacher) })
    }

    /// P_s2t [D, d] = pinv(W_t) W_s on the shared tokens, computed anew when W_s has changed.
    func studentToTeacher(_ models: CriterionModels, _ shared: SharedTokens) -> Matrix {
        let head = models.studentHead
        if let toTeacher, toTeacher.version == head.version { return toTeacher.matrix }
        let result = Matrix(zeros: models.teacherHead.width, head.width)
        let shared = headRows(shared)
        let inverse =
            self.inverse
            ?? LeastSquares(models.teacherHead.weight.gathered(shared.teacher))?
            .transposedPseudoInverse()
        self.inverse = inverse
        if let inverse {
            // In blocks of rows: a copy of the shared part of W_s would be as large as W_s.
            for start in stride(from: 0, to: inverse.rows, by: 4_096) {
                let rows = start..<min(start + 4_096, inverse.rows)
                multiply(
                    inverse.slice(rows: rows),
                    transposeA: true,
                    head.weight.gathered(Array(shared.student[rows])),
                    into: result,
                    beta: 1
                )
            }
        }
        toTeacher = (result, head.version)
        return result
    }

    /// Counts a step; where it has several micro-batches, what the losses are divided by must be known
    /// before the first.
    ///
    /// - Parameter pairs: Those of each micro-batch.
    func statistics(
        of batches: [CriterionBatch],
        pairs: [(student: [Int], teacher: [Int])],
        models: CriterionModels,
        shared: SharedTokens,
        engine: HeadLoss
    ) -> StepStatistics {
        var step = StepStatistics(studentPositions: batches.reduce(0) { $0 + $1.student.count })
        guard batches.count > 1 else { return step }
        step.agreements = zip(batches, pairs).map { batch, pairs in
            let target = TeacherTarget(batch, models, settings)
            let largest = target.largest(pairs.teacher, engine: engine)
            return agreement(batch, pairs, largest, shared, models, engine)
        }
        return step
    }

    private func agreement(
        _ batch: CriterionBatch,
        _ pairs: (student: [Int], teacher: [Int]),
        _ largest: [UInt32],
        _ shared: SharedTokens,
        _ models: CriterionModels,
        _ engine: HeadLoss
    ) -> TeacherAgreement {
        var result = TeacherAgreement()
        for (index, token) in largest.enumerated() {
            // A prediction that the student has no word for is dropped.
            guard let label = shared.toStudent[Int(token)] else { continue }
            result.student.append(pairs.student[index])
            result.teacher.append(pairs.teacher[index])
            result.labels.append(label)
        }
        let z = toStudent.apply(batch.teacher.hidden.gathered(result.teacher)).out
        let projected = engine.largest(hidden: z, head: models.studentHead)
        result.agrees = zip(projected, result.labels).map { $0 == $1 }
        return result
    }

    /// Losses and gradients of one micro-batch.
    func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        pairs: (student: [Int], teacher: [Int]),
        models: CriterionModels,
        shared: SharedTokens,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        let toTeacher = studentToTeacher(models, shared)
        // The teacher's space first: its logits say which pairs there are.
        let known = step.agreements.isEmpty ? nil : step.agreements[index]
        let selection = known.map { ($0.student, $0.teacher) } ?? pairs
        let states = batch.student.hidden.gathered(selection.0)
        let g = Matrix(uninitialized: states.rows, toTeacher.rows)
        multiply(states, toTeacher, transposeB: true, into: g)
        let dG = gradients.map { _ in Matrix(uninitialized: g.rows, g.columns) }
        let target = TeacherTarget(batch, models, settings)
        let source = try target.source(
            selection.1,
            vocabulary: models.teacherHead.vocabulary
        )
        var largest: [UInt32] = []
        var gate = HeadLoss.Target.Gate.all
        if known == nil {
            if case .product = source {
                gate = .whereLikely(shared.toStudent.map { $0 != nil })
            } else {
                largest = target.largest(selection.1, engine: engine)
                gate = .rows(largest.map { shared.toStudent[Int($0)] != nil })
            }
        }
        let inTeacher = engine.compare(
            HeadLoss.Side(hidden: g, head: models.teacherHead, dHidden: dG),
            HeadLoss.Target(
                source: source,
                distance: .divergence(settings.divergence),
                temperature: settings.temperature,
                targetTemperature: settings.temperature,
                weight: 1,
                gate: gate
            )
        )
        if largest.isEmpty { largest = inTeacher.largest }
        let mine =
            known ?? agreement(batch, selection, largest, shared, models, engine)
        let counts = Counts(
            step.agreements.isEmpty ? [mine] : step.agreements,
            positions: step.studentPositions,
            settings: settings,
            dividesByPairs: dividesByPairs
        )

        let z = toStudent.apply(batch.teacher.hidden.gathered(mine.teacher))
        let dZ = gradients.map { _ in Matrix(uninitialized: z.out.rows, z.out.columns) }
        let student = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: weights.crossEntropy * step.over,
            parts: [
                .init(
                    rows: mine.student,
                    target: HeadLoss.Target(
                        source: .product(hidden: z.out, head: models.studentHead),
                        distance: .divergence(settings.divergence),
                        temperature: settings.temperature,
                        targetTemperature: settings.temperature,
                        weight: weights.targetDivergence * Float(counts.overKept),
                        gate: counts.keepsAll ? .all : .rows(mine.agrees),
                        labels: mine.labels,
                        crossEntropyWeight: weights.targetCrossEntropy * Float(counts.overPairs),
                        gradient: dZ
                    )
                )
            ],
            dHidden: gradients?.hidden
        )
        if let gradients, let dG, let dZ {
            toStudent.backward(z, dOut: dZ)
            let dStates = Matrix(uninitialized: states.rows, states.columns)
            let weight = weights.teacherDivergence * Float(counts.overPairs)
            multiply(dG, toTeacher, into: dStates, alpha: weight)
            for (row, target) in selection.0.enumerated() {
                for i in 0..<dStates.columns {
                    gradients.hidden.row(target)[i] += dStates.row(row)[i]
                }
            }
        }
        return sums(student.crossEntropy, student.parts[0], inTeacher, batch, step, counts)
    }

    /// Sums that come out right when they are divided by the step's student positions.
    private func sums(
        _ crossEntropy: Double,
        _ inStudent: HeadLoss.Sums,
        _ inTeacher: HeadLoss.Sums,
        _ batch: CriterionBatch,
        _ step: StepStatistics,
        _ counts: Counts
    ) -> CriterionSums {
        let factor = Double(settings.divergenceFactor)
        let (pairs, kept) = (
            Double(step.studentPositions) * counts.overPairs,
            Double(step.studentPositions) * counts.overKept
        )
        let t2sCE = inStudent.targetCrossEntropy * pairs
        let t2sKD = inStudent.distance * kept * factor
        let s2tKD = inTeacher.distance * pairs * factor
        return CriterionSums(
            [
                "ce": crossEntropy, "t2s_ce": t2sCE, "t2s_kd": t2sKD, "s2t_kd": s2tKD,
                "kd": t2sCE + t2sKD + s2tKD, "t2s_accuracy": inStudent.targetCorrect * pairs,
                "t2s_top_probability": inStudent.targetTopProbability * pairs,
                "t2s_gate": inStudent.gateOpen * pairs,
            ],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }

    /// What the losses of a step are divided by.
    private struct Counts {
        /// 1 over the pairs (or the positions), and over the pairs that t2s_kd counts at.
        let overPairs: Double, overKept: Double
        /// Whether so many agree that all count.
        let keepsAll: Bool

        init(
            _ agreements: [TeacherAgreement],
            positions: Int,
            settings: CriterionSettings,
            dividesByPairs: Bool
        ) {
            let pairs = agreements.reduce(0) { $0 + $1.labels.count }
            let agreeing = agreements.reduce(0) { $0 + $1.agrees.count { $0 } }
            let all = Double(dividesByPairs ? pairs : positions)
            overPairs = all > 0 ? 1 / all : 0
            keepsAll = Double(agreeing) * overPairs > Double(settings.agreement)
            overKept = keepsAll ? overPairs : 1 / max(Double(agreeing), 1e-3)
        }
    }
}

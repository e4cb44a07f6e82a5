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

extension StepStatistics {
    /// Counts the pairs of a micro-batch.
    mutating func add(_ agreement: TeacherAgreement) {
        pairs += agreement.labels.count
        agreeing += agreement.agrees.count { $0 }
    }
}

/// Which positions, and which tokens, of the two models are the same.
protocol TokenPairing {
    /// The criterion's name in settings files, one line for lists, and what is read.
    static var name: String { get }
    /// See `name`.
    static var summary: String { get }
    /// See `name`.
    static var needs: CriterionNeeds { get }
    /// Whether losses are divided by the pairs instead of the student's positions.
    static var dividesByPairs: Bool { get }

    init(_ context: CriterionContext)

    /// - Throws: `DistillError.unfit` where that cannot be known.
    mutating func sharedTokens(_ models: CriterionModels) throws -> SharedTokens

    /// Rows of the two sides, pair by pair.
    func pairs(_ batch: CriterionBatch) throws -> (student: [Int], teacher: [Int])
}

/// Dual-space distillation with projectors computed from the heads; the projected teacher learns the
/// teacher's own predictions instead of the labels.
///
/// Source: arXiv 2504.11426.
final class DualSpaceV2Criterion<Pairing: TokenPairing>: Criterion {
    static var name: String { Pairing.name }
    static var summary: String { Pairing.summary }
    static var needs: CriterionNeeds { Pairing.needs }
    static var projectorNames: [String] { ["t2s"] }
    static var preparesProjectors: Bool { true }
    /// D -> d, without bias; the other way is computed from the heads, not learnt.
    let toStudent: Projector
    var projectors: [Projector] { [toStudent] }
    private let settings: CriterionSettings
    private let weights: DualSpaceWeights
    private var pairing: Pairing
    /// pinv(W_t) transposed, (shared, D).
    private var inverse: Matrix?
    /// P_s2t [D, d], and the version of W_s that it was computed from.
    private var toTeacher: (matrix: Matrix, version: Int)?

    /// Draws `t2s`, whose values `prepare` replaces.
    init(_ context: CriterionContext) throws {
        settings = context.settings
        try settings.requireWhole(Self.name)
        try settings.requireSignal(for: settings.divergence)
        weights = DualSpaceWeights(settings)
        pairing = Pairing(context)
        if let text = settings.projectors["t2s"], text != "t-s" {
            throw DistillError.badSetting(
                key: "projectors.t2s",
                value: "\"\(text)\"",
                remedy: "dskd_v2 starts from a least-squares solution: t-s alone"
            )
        }
        // A solver's matrices.
        for (side, width) in [
            ("student", context.sizes.student), ("teacher", context.sizes.teacher),
        ] {
            try context.requireRoom("the \(side)'s least squares", width, width)
        }
        toStudent = try context.projector(
            "t2s",
            inputs: context.sizes.teacher,
            outputs: context.sizes.student,
            hasBias: false
        )
    }

    /// The first value of `t2s`: the least-squares solution of W_s P = W_t on the shared tokens.
    func prepare(_ models: CriterionModels) throws {
        let rows = headRows(try pairing.sharedTokens(models))
        guard !rows.student.isEmpty else {
            throw DistillError.unfit(
                "\(Self.name): the two vocabularies share no token; another criterion must do"
            )
        }
        let solver = try solver(models.studentHead, rows.student, "student")
        toStudent.weight?.value.assign(
            solver.solve(models.teacherHead.weight.gathered(rows.teacher))
        )
    }

    private func solver(
        _ head: HeadProduct,
        _ rows: [Int],
        _ side: String
    ) throws -> LeastSquares {
        guard let solver = LeastSquares(head.weight.gathered(rows)) else {
            throw DistillError.unfit("\(Self.name): the \(side)'s head is not finite")
        }
        return solver
    }

    /// The rows of the two heads that are compared, pair by pair.
    private func headRows(_ shared: SharedTokens) -> (student: [Int], teacher: [Int]) {
        let pairs = shared.pairs.prefix(settings.topVocabulary ?? shared.pairs.count)
        return (pairs.map { Int($0.student) }, pairs.map { Int($0.teacher) })
    }

    /// P_s2t [D, d] = pinv(W_t) W_s on the shared tokens, computed anew when W_s has changed.
    private func studentToTeacher(
        _ models: CriterionModels,
        _ shared: SharedTokens
    ) throws -> Matrix {
        let head = models.studentHead
        if let toTeacher, toTeacher.version == head.version { return toTeacher.matrix }
        let result = Matrix(zeros: models.teacherHead.width, head.width)
        let shared = headRows(shared)
        let inverse =
            try self.inverse
            ?? solver(models.teacherHead, shared.teacher, "teacher").transposedPseudoInverse()
        self.inverse = inverse
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
        toTeacher = (result, head.version)
        return result
    }

    /// Positions; with several micro-batches also where the teacher and its projection agree: what losses
    /// are divided by must be known before the first.
    func statistics(
        of batches: [CriterionBatch],
        isWhole: Bool,
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        var step = StepStatistics(studentPositions: batches.reduce(0) { $0 + $1.student.count })
        guard batches.count > 1 || !isWhole else { return step }
        let shared = try pairing.sharedTokens(models)
        let agreements = try batches.map { batch in
            let pairs = try pairing.pairs(batch)
            let target = TeacherTarget(batch, models, settings)
            let largest = target.largest(pairs.teacher, engine: engine)
            return agreement(batch, pairs, largest, shared, models, engine)
        }
        step.agreements = agreements
        for agreement in agreements { step.add(agreement) }
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
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        let shared = try pairing.sharedTokens(models)
        let toTeacher = try studentToTeacher(models, shared)
        // The teacher's space first: its logits say which pairs there are.
        let known = step.agreements?[index]
        let selection = try known.map { ($0.student, $0.teacher) } ?? pairing.pairs(batch)
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
            if case .sparse = source {
                largest = target.largest(selection.1, engine: engine)
                gate = .rows(largest.map { shared.toStudent[Int($0)] != nil })
            } else {
                gate = .whereLikely(shared.toStudent.map { $0 != nil })
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
        var counted = step
        if known == nil { counted.add(mine) }
        let counts = Counts(counted, settings)

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

        init(_ step: StepStatistics, _ settings: CriterionSettings) {
            let all = Double(Pairing.dividesByPairs ? step.pairs : step.studentPositions)
            overPairs = all > 0 ? 1 / all : 0
            // In float32, as the setting is: nine of ten are not above 0.9.
            keepsAll = all > 0 && Float(step.agreeing) / Float(all) > settings.agreement
            overKept = keepsAll ? overPairs : 1 / max(Double(step.agreeing), 1e-3)
        }
    }
}

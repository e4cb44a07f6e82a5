import Tensors

/// How much each part of a dual-space loss weighs; tests look at the parts one by one.
struct DualSpaceWeights {
    var crossEntropy: Float
    var targetCrossEntropy: Float, targetDivergence: Float, teacherDivergence: Float

    init(_ settings: CriterionSettings) {
        crossEntropy = 1 - settings.kdRate
        targetCrossEntropy = settings.kdRate
        targetDivergence = settings.kdRate * settings.divergenceFactor
        teacherDivergence = settings.kdRate * settings.divergenceFactor
    }
}

/// What the dual-space criteria share once states have been carried across: the losses of both
/// spaces, in terms of the projected states.
struct DualSpaceLosses {
    let settings: CriterionSettings
    let weights: DualSpaceWeights
    /// Whether t2s_kd counts only where the projected teacher is right (CMA).
    let gated: Bool

    /// Gradients by the states, each with the shape of its state.
    struct Gradients {
        /// (n, d): of the student's hidden states, from its own logits.
        let hidden: Matrix
        /// (n, d): of the teacher's states in the student's space.
        let toStudent: Matrix
        /// (m, D): of the student's states in the teacher's space.
        let toTeacher: Matrix
    }

    /// - Parameters:
    ///   - toStudent: z (n, d), the teacher's states in the student's space.
    ///   - toTeacher: g (m, D), the student's states in the teacher's space.
    ///   - gradients: Overwritten; nil for the losses alone.
    func evaluate(
        _ batch: CriterionBatch,
        toStudent: Matrix,
        toTeacher: Matrix,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: Gradients?
    ) throws -> CriterionSums {
        let target = HeadLoss.Target(
            source: .product(hidden: toStudent, head: models.studentHead),
            distance: .divergence(settings.divergence),
            temperature: settings.temperature,
            targetTemperature: settings.temperature * (gated ? settings.teacherTemperature : 1),
            weight: weights.targetDivergence * step.over,
            gate: gated ? .whereRight : .all,
            crossEntropyWeight: weights.targetCrossEntropy * step.over,
            gradient: gradients?.toStudent
        )
        let student = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: weights.crossEntropy * step.over,
            parts: [.init(rows: Array(0..<batch.student.count), target: target)],
            dHidden: gradients?.hidden
        )
        let inStudent = student.parts[0]
        let inTeacher = engine.compare(
            HeadLoss.Side(
                hidden: toTeacher,
                head: models.teacherHead,
                dHidden: gradients?.toTeacher
            ),
            HeadLoss.Target(
                source: try TeacherTarget(batch, models, settings).source(
                    Array(0..<batch.teacher.count),
                    vocabulary: models.teacherHead.vocabulary
                ),
                distance: .divergence(.forwardKL),
                temperature: settings.temperature,
                targetTemperature: settings.temperature,
                weight: weights.teacherDivergence * step.over
            )
        )
        let factor = Double(settings.divergenceFactor)
        let divergences = (inStudent.distance + inTeacher.distance) * factor
        return CriterionSums(
            [
                "ce": student.crossEntropy, "t2s_ce": inStudent.targetCrossEntropy,
                "t2s_kd": inStudent.distance * factor, "s2t_kd": inTeacher.distance * factor,
                "kd": inStudent.targetCrossEntropy + divergences,
                "t2s_accuracy": inStudent.targetCorrect,
                "t2s_top_probability": inStudent.targetTopProbability,
                "t2s_gate": inStudent.gateOpen,
            ],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }
}

/// `dskd`, one vocabulary: both models' states are carried into the other's space by a projector,
/// and the distributions are compared under the same head in each.
public final class DualSpace: Criterion {
    /// The name in settings files.
    public static let name = "dskd"
    /// One line for lists.
    public static let summary = "dual-space distillation, positions one to one; one vocabulary"
    /// Position i of the student learns from position i of the teacher.
    public static let needs: CriterionNeeds = [
        .pairedPositions, .hiddenStates, .distribution, .head,
    ]
    /// Both of them.
    public static let projectorNames = ["t2s", "s2t"]
    /// D -> d and d -> D.
    public let toStudent: Projector, toTeacher: Projector
    /// Both of them.
    public var projectors: [Projector] { [toStudent, toTeacher] }
    var weights: DualSpaceWeights
    private let settings: CriterionSettings

    /// Draws the projectors `t2s` and `s2t`.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        try settings.requireSignal(for: .forwardKL)
        weights = DualSpaceWeights(settings)
        let (student, teacher) = (context.sizes.student, context.sizes.teacher)
        toStudent = try context.projector("t2s", inputs: teacher, outputs: student)
        toTeacher = try context.projector("s2t", inputs: student, outputs: teacher)
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
        try requirePairs(batch, criterion: Self.name)
        let z = toStudent.apply(batch.teacher.hidden)
        let g = toTeacher.apply(batch.student.hidden)
        let inner = gradients.map {
            DualSpaceLosses.Gradients(
                hidden: $0.hidden,
                toStudent: Matrix(uninitialized: z.out.rows, z.out.columns),
                toTeacher: Matrix(uninitialized: g.out.rows, g.out.columns)
            )
        }
        let losses = DualSpaceLosses(settings: settings, weights: weights, gated: false)
        let sums = try losses.evaluate(
            batch,
            toStudent: z.out,
            toTeacher: g.out,
            models: models,
            step: step,
            engine: engine,
            gradients: inner
        )
        if let inner {
            toStudent.backward(z, dOut: inner.toStudent)
            toTeacher.backward(g, dOut: inner.toTeacher, dX: inner.hidden)
        }
        return sums
    }
}

extension CriterionContext {
    /// A projector of the structure that the settings give, one linear map if they give none.
    func projector(
        _ name: String,
        inputs: Int,
        outputs: Int,
        structure: String? = nil,
        hasBias: Bool = true
    ) throws -> Projector {
        let setting = structure ?? name
        let structure = try ProjectorStructure(
            setting,
            settings: settings,
            sizes: sizes,
            inputs: inputs,
            outputs: outputs
        )
        for case .linear(let inputs, let outputs) in structure.steps {
            try requireRoom("projectors.\(setting)", inputs, outputs)
        }
        return Projector(name: name, structure: structure, hasBias: hasBias, seed: seed)
    }
}

import CKernels
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
    ) -> CriterionSums {
        let over = 1 / Float(max(1, step.studentPositions))
        let target = HeadLoss.Target(
            hidden: toStudent,
            head: models.studentHead,
            divergence: settings.divergence,
            temperature: settings.temperature,
            targetTemperature: settings.temperature * (gated ? settings.teacherTemperature : 1),
            weight: weights.targetDivergence * over,
            gated: gated,
            crossEntropyWeight: weights.targetCrossEntropy * over,
            gradient: gradients?.toStudent
        )
        let student = engine.studentSpace(
            hidden: batch.student.hidden,
            head: models.studentHead,
            labels: batch.student.labels,
            crossEntropyWeight: weights.crossEntropy * over,
            target: target,
            dHidden: gradients?.hidden
        )
        let teacher = engine.teacherSpace(
            teacher: batch.teacher.hidden,
            projected: toTeacher,
            head: models.teacherHead,
            temperature: settings.temperature,
            weight: weights.teacherDivergence * over,
            dProjected: gradients?.toTeacher
        )
        let factor = Double(settings.divergenceFactor)
        var sums = CriterionSums()
        sums.positions = batch.student.count
        sums.values = [
            "ce": student.crossEntropy, "t2s_ce": student.targetCrossEntropy,
            "t2s_kd": student.divergence * factor, "s2t_kd": teacher * factor,
            "kd": student.targetCrossEntropy + (student.divergence + teacher) * factor,
            "t2s_accuracy": student.targetCorrect,
            "t2s_top_probability": student.targetTopProbability, "t2s_gate": student.gateOpen,
        ]
        sums.addTotal(kdRate: settings.kdRate)
        return sums
    }
}

/// `dskd`, one vocabulary: both models' states are carried into the other's space by a projector,
/// and the distributions are compared under the same head in each.
public final class DualSpace: Criterion {
    /// The name in settings files.
    public static let name = "dskd"
    /// Position i of the student learns from position i of the teacher.
    public static let pairsPositions = true
    /// Hidden states and head.
    public static let usesTeacher = true
    /// D -> d and d -> D.
    public let toStudent: Projector, toTeacher: Projector
    /// Both of them.
    public var projectors: [Projector] { [toStudent, toTeacher] }
    var weights: DualSpaceWeights
    private let settings: CriterionSettings

    /// Draws the projectors `t2s` and `s2t`.
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
    }

    /// Losses and gradients of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        dHidden: Matrix?
    ) throws -> CriterionSums {
        try requirePairs(batch, criterion: Self.name)
        let z = toStudent.apply(batch.teacher.hidden)
        let g = toTeacher.apply(batch.student.hidden)
        let gradients = dHidden.map {
            DualSpaceLosses.Gradients(
                hidden: $0,
                toStudent: Matrix(uninitialized: z.rows, z.columns),
                toTeacher: Matrix(uninitialized: g.rows, g.columns)
            )
        }
        let losses = DualSpaceLosses(settings: settings, weights: weights, gated: false)
        let sums = losses.evaluate(
            batch,
            toStudent: z,
            toTeacher: g,
            models: models,
            step: step,
            engine: engine,
            gradients: gradients
        )
        if let gradients {
            toStudent.backward(batch.teacher.hidden, dOut: gradients.toStudent)
            toTeacher.backward(
                batch.student.hidden,
                dOut: gradients.toTeacher,
                dX: gradients.hidden
            )
        }
        return sums
    }
}

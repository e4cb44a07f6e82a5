import Tensors

/// `dskd_v2`, one vocabulary: dual-space distillation with projectors computed from the heads; the
/// projected teacher learns the teacher's own predictions instead of the labels.
public final class DualSpaceV2: Criterion {
    /// The name in settings files.
    public static let name = "dskd_v2"
    /// One line for lists.
    public static let summary =
        "dual-space distillation v2, projectors from the heads; one vocabulary"
    /// Position i of the student learns from position i of the teacher.
    public static let needs: CriterionNeeds = [
        .pairedPositions, .hiddenStates, .distribution, .head,
    ]
    let losses: DualSpaceV2Losses
    private var shared: SharedTokens?
    /// `t2s` alone.
    public var projectors: [Projector] { [losses.toStudent] }

    /// Draws `t2s`, whose values `prepare` replaces.
    public init(_ context: CriterionContext) throws {
        losses = try DualSpaceV2Losses(context, dividesByPairs: false)
    }

    /// The first value of `t2s`.
    public func prepare(_ models: CriterionModels) {
        losses.prepare(models, sharedTokens(models))
    }

    private func sharedTokens(_ models: CriterionModels) -> SharedTokens {
        if let shared { return shared }
        let (student, teacher) = (models.studentHead.vocabulary, models.teacherHead.vocabulary)
        let made = SharedTokens(
            pairs: (0..<UInt32(min(student, teacher))).map { ($0, $0) },
            toStudent: (0..<teacher).map { $0 < student ? UInt32($0) : nil }
        )
        shared = made
        return made
    }

    private func pairs(_ batch: CriterionBatch) throws -> (student: [Int], teacher: [Int]) {
        try requirePairs(batch, criterion: Self.name)
        let rows = Array(0..<batch.student.count)
        return (rows, rows)
    }

    /// Positions, and with several micro-batches where the teacher and its projection agree.
    public func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        losses.statistics(
            of: batches,
            pairs: try batches.map(pairs),
            models: models,
            shared: sharedTokens(models),
            engine: engine
        )
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
        try losses.evaluate(
            batch,
            at: index,
            pairs: try pairs(batch),
            models: models,
            shared: sharedTokens(models),
            step: step,
            engine: engine,
            gradients: gradients
        )
    }
}

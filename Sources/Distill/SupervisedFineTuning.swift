import Tensors

/// `sft`: cross-entropy of the student at its labels, and nothing of the teacher.
public final class SupervisedFineTuning: Criterion {
    /// The name in settings files.
    public static let name = "sft"
    /// One line for lists.
    public static let summary = "cross-entropy at the student's labels, nothing of the teacher"
    /// The cache gives the texts alone.
    public static let needs: CriterionNeeds = []
    private let settings: CriterionSettings

    /// `kdRate` is ignored: the total is the cross-entropy.
    public init(_ context: CriterionContext) { settings = context.settings }

    /// Cross-entropy of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        let sums = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: step.over,
            parts: [],
            dHidden: gradients?.hidden
        )
        return CriterionSums(["ce": sums.crossEntropy], positions: batch.student.count, kdRate: 0)
    }
}

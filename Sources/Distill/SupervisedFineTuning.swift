import Tensors

/// `sft`: cross-entropy of the student at its labels, and nothing of the teacher.
public final class SupervisedFineTuning: Criterion {
    /// The name in settings files.
    public static let name = "sft"
    /// Teacher rows are not looked at.
    public static let pairsPositions = false
    /// The cache gives the texts alone.
    public static let usesTeacher = false
    /// None.
    public let projectors: [Projector] = []

    /// `settings.kdRate` is ignored: the total is the cross-entropy.
    public init(settings: CriterionSettings, sizes: CriterionSizes, seed: UInt64) {}

    /// Cross-entropy of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        dHidden: Matrix?
    ) throws -> CriterionSums {
        let sums = engine.studentSpace(
            hidden: batch.student.hidden,
            head: models.studentHead,
            labels: batch.student.labels,
            crossEntropyWeight: 1 / Float(max(1, step.studentPositions)),
            target: nil,
            dHidden: dHidden
        )
        var result = CriterionSums()
        result.positions = batch.student.count
        result.values = ["ce": sums.crossEntropy, "total": sums.crossEntropy]
        return result
    }
}

import Tensors

/// `kd`, one vocabulary: D(teacher || student) at every position.
public final class KnowledgeDistillation: Criterion {
    /// The name in settings files.
    public static let name = "kd"
    /// One line for lists.
    public static let summary = "divergence from the teacher's distribution; one vocabulary"
    /// Position i of the student learns from position i of the teacher.
    public static let needs: CriterionNeeds = [.pairedPositions, .distribution]
    private let settings: CriterionSettings
    private var cutHead: HeadProduct?

    /// Nothing is drawn.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        try settings.requireSignal(for: settings.divergence)
    }

    /// Cross-entropy and divergence of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        try requirePairs(batch, criterion: Self.name)
        let rows = Array(0..<batch.student.count)
        let factor = settings.divergenceFactor
        let target = HeadLoss.Target(
            source: try TeacherTarget(batch, models, settings).source(
                rows,
                vocabulary: models.studentHead.vocabulary,
                head: teacherHead(models)
            ),
            distance: .divergence(settings.divergence),
            temperature: settings.temperature,
            targetTemperature: settings.temperature,
            weight: settings.kdRate * factor * step.over
        )
        let sums = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: (1 - settings.kdRate) * step.over,
            parts: [.init(rows: rows, target: target)],
            dHidden: gradients?.hidden
        )
        return CriterionSums(
            ["ce": sums.crossEntropy, "kd": sums.parts[0].distance * Double(factor)],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }

    /// Padded heads of different sizes are both cut to the smaller.
    private func teacherHead(_ models: CriterionModels) -> HeadProduct {
        let size = models.studentHead.vocabulary
        guard models.teacherHead.vocabulary > size else { return models.teacherHead }
        let cut = cutHead ?? models.teacherHead.prefix(size)
        cutHead = cut
        return cut
    }
}

import Tensors

/// `uld`, any vocabularies: positions paired in order, both distributions sorted, the differences of
/// their probabilities added up.
///
/// Source: Universal Logit Distillation (arXiv 2402.12030), as METHOD.md has it.
public final class UniversalLogit: Criterion {
    /// The name in settings files.
    public static let name = "uld"
    /// One line for lists.
    public static let summary =
        "universal logit distillation: sorted probabilities; any vocabularies"
    /// The distribution alone.
    public static let needs: CriterionNeeds = [.distribution]
    private let settings: CriterionSettings

    /// Nothing is drawn.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        try settings.requireWhole(Self.name)
    }

    /// Losses and gradients of one micro-batch; what one side has more is left out.
    public func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums {
        var rows: (student: [Int], teacher: [Int]) = ([], [])
        for example in 0..<batch.student.exampleCount {
            let (student, teacher) = (
                batch.student.range(ofExample: example), batch.teacher.range(ofExample: example)
            )
            let count = min(student.count, teacher.count)
            rows.student += student.prefix(count)
            rows.teacher += teacher.prefix(count)
        }
        let target = HeadLoss.Target(
            source: try TeacherTarget(batch, models, settings).source(
                rows.teacher,
                vocabulary: .max
            ),
            distance: .sorted,
            temperature: 1,
            targetTemperature: 1,
            weight: settings.kdRate * step.over
        )
        let sums = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: (1 - settings.kdRate) * step.over,
            parts: [.init(rows: rows.student, target: target)],
            dHidden: gradients?.hidden
        )
        return CriterionSums(
            ["ce": sums.crossEntropy, "kd": sums.parts[0].distance],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }
}

import Tensors

/// `min_edit`, any vocabularies: input tokens are warped onto each other by edit distance; where one of the
/// teacher's stands for one of the student's, the teacher's distribution, carried over token by token to
/// the nearest spelling, is the target, elsewhere the label alone.
///
/// Source: METHOD.md, criterion 7 (FuseLLM, arXiv 2401.10491, as DSKD compares with it).
public final class MinEdit: Criterion {
    /// The name in settings files.
    public static let name = "min_edit"
    /// One line for lists.
    public static let summary = "teacher's logits carried over by edit distance; any vocabularies"
    /// The distribution, and the text of tokens.
    public static let needs: CriterionNeeds = [.distribution, .texts]
    private let settings: CriterionSettings
    private let texts: VocabularyTexts?
    /// The student's nearest token of each of the teacher's.
    private lazy var map = texts.map {
        nearestTokens(student: $0.student, teacher: $0.teacher)
    }

    /// Nothing is drawn.
    public init(_ context: CriterionContext) throws {
        settings = context.settings
        texts = context.texts
        try settings.requireSignal(for: .forwardKL)
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
        guard let texts, let map else {
            throw DistillError.unfit("\(Self.name) needs the token texts of both vocabularies")
        }
        let matches = matches(batch, texts, map)
        let carried = matches.indices.filter { matches[$0] != nil }
        let plain = matches.indices.filter { matches[$0] == nil }
        var labels = SparseRows(hasGhost: false)
        for row in plain { labels.append(ids: [batch.student.labels[row]], logs: [0]) }
        let sums = engine.student(
            batch.student,
            head: models.studentHead,
            settings: settings,
            crossEntropyWeight: (1 - settings.kdRate) * step.over,
            parts: [
                .init(
                    rows: carried,
                    target: try target(batch, models, map, carried.compactMap { matches[$0] }, step)
                ),
                .init(rows: plain, target: target(.sparse(labels), step)),
            ],
            dHidden: gradients?.hidden
        )
        let factor = Double(settings.divergenceFactor)
        return CriterionSums(
            [
                "ce": sums.crossEntropy,
                "kd": (sums.parts[0].distance + sums.parts[1].distance) * factor,
                "carried": Double(carried.count),
            ],
            positions: batch.student.count,
            kdRate: settings.kdRate
        )
    }

    /// For each row of the student the teacher's whose distribution it takes.
    private func matches(
        _ batch: CriterionBatch,
        _ texts: VocabularyTexts,
        _ map: [UInt32]
    ) -> [Int?] {
        (0..<batch.student.exampleCount).flatMap { example in
            let teacher = batch.teacher.range(ofExample: example)
            return minEditMatches(
                studentInputs: batch.student.inputs[batch.student.range(ofExample: example)],
                teacherInputs: batch.teacher.inputs[teacher],
                studentTexts: texts.student,
                teacherTexts: texts.teacher,
                map: map
            ).map { $0.map { teacher.lowerBound + $0 } }
        }
    }

    /// - Parameter temperature: Of the target; the student's is the settings'.
    private func target(
        _ source: HeadLoss.Target.Source,
        _ step: StepStatistics,
        temperature: Float = 1
    ) -> HeadLoss.Target {
        HeadLoss.Target(
            source: source,
            distance: .divergence(.forwardKL),
            temperature: settings.temperature,
            targetTemperature: temperature,
            weight: settings.kdRate * settings.divergenceFactor * step.over
        )
    }

    private func target(
        _ batch: CriterionBatch,
        _ models: CriterionModels,
        _ map: [UInt32],
        _ rows: [Int],
        _ step: StepStatistics
    ) throws -> HeadLoss.Target {
        let teacher = TeacherTarget(batch, models, settings)
        switch batch.teacherRows {
        case .exact, .full:
            var target = target(
                try teacher.source(rows, vocabulary: .max),
                step,
                temperature: settings.temperature
            )
            target.map = map
            return target
        case .topK, .sampled:
            return target(.sparse(try teacher.mapped(rows, map: map)), step)
        }
    }
}

import Tensors

/// `dskd_v2_eta`, any vocabularies: `dskd_v2` at the positions where both models have read the same text
/// and the next token is the same text too.
///
/// Source: arXiv 2504.11426, exact token alignment.
public final class DualSpaceV2Eta: Criterion {
    /// The name in settings files.
    public static let name = "dskd_v2_eta"
    /// One line for lists.
    public static let summary = "dskd_v2 at exactly aligned tokens; any vocabularies"
    /// Positions are matched by the text of tokens.
    public static let needs: CriterionNeeds = [.hiddenStates, .distribution, .head, .texts]
    private let losses: DualSpaceV2Losses
    private let texts: VocabularyTexts?
    private lazy var shared = texts.map {
        sharedTokens(student: $0.student, teacher: $0.teacher)
    }
    /// `t2s` alone.
    public var projectors: [Projector] { [losses.toStudent] }

    /// Draws `t2s`, whose values `prepare` replaces.
    public init(_ context: CriterionContext) throws {
        losses = try DualSpaceV2Losses(context, dividesByPairs: true)
        texts = context.texts
    }

    /// The first value of `t2s`.
    public func prepare(_ models: CriterionModels) {
        if let shared { losses.prepare(models, shared) }
    }

    /// Positions, and with several micro-batches where the teacher and its projection agree.
    public func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        let known = try vocabularies()
        return losses.statistics(
            of: batches,
            pairs: batches.map { pairs($0, known.texts) },
            models: models,
            shared: known.shared,
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
        let known = try vocabularies()
        return try losses.evaluate(
            batch,
            at: index,
            pairs: pairs(batch, known.texts),
            models: models,
            shared: known.shared,
            step: step,
            engine: engine,
            gradients: gradients
        )
    }

    private func vocabularies() throws -> (texts: VocabularyTexts, shared: SharedTokens) {
        guard let texts, let shared else {
            throw DistillError.unfit("\(Self.name) needs the token texts of both vocabularies")
        }
        return (texts, shared)
    }

    /// Rows of the two sides whose labels are the same piece of the same text.
    private func pairs(
        _ batch: CriterionBatch,
        _ texts: VocabularyTexts
    ) -> (student: [Int], teacher: [Int]) {
        let (student, teacher) = (batch.student, batch.teacher)
        var rows: (student: [Int], teacher: [Int]) = ([], [])
        for example in 0..<(student.offsets.count - 1) {
            let (i0, j0) = (student.offsets[example], teacher.offsets[example])
            let aligned = tokenAlignment(
                student: student.labels[i0..<student.offsets[example + 1]],
                teacher: teacher.labels[j0..<teacher.offsets[example + 1]],
                studentTexts: texts.student,
                teacherTexts: texts.teacher
            )
            rows.student += aligned.map { i0 + $0.0 }
            rows.teacher += aligned.map { j0 + $0.1 }
        }
        return rows
    }
}

import Models
import Tensors

/// A student in training: its model, the criterion, and the optimiser, without files or clocks.
final class StudentTraining {
    let model: any LanguageModel
    let criterion: any Criterion
    let models: CriterionModels
    let optimizer: Optimizer
    let engine: HeadLoss

    /// What one step did.
    struct StepResult {
        var sums = CriterionSums()
        var outcome = Optimizer.Outcome(gradientNorm: 0, applied: false)
        /// Tokens that the student ran over.
        var tokens = 0
        var examples = 0
    }

    /// - Parameter teacher: From the cache.
    init(model: any LanguageModel, teacher: CachedTeacher, settings: DistillSettings) throws {
        self.model = model
        let type = try CriterionRegistry.type(settings.criterion)
        criterion = type.init(
            settings: settings.criterionSettings,
            sizes: CriterionSizes(
                student: model.outputHead.value.columns,
                teacher: teacher.hiddenSize
            ),
            seed: settings.seed
        )
        optimizer = Optimizer(
            student: model.parameters,
            projectors: criterion.projectors.flatMap(\.parameters),
            settings: settings
        )
        models = CriterionModels(
            studentHead: HeadProduct(
                model.outputHead,
                softCap: model.configuration.logitSoftCap,
                compute: settings.compute
            ),
            studentEmbedding: model.inputEmbedding.value,
            teacherHead: teacher.head,
            teacherEmbedding: teacher.embedding
        )
        engine = HeadLoss(memoryLimit: settings.headMemoryMiB << 20)
    }

    /// One optimiser step over all of its micro-batches.
    func step(_ batches: [MicroBatch], factor: Float) throws -> StepResult {
        let width = model.outputHead.value.columns
        let statistics = try criterion.statistics(
            of: batches.map { $0.criterionBatch(width: width) },
            models: models
        )
        var result = StepResult()
        for batch in batches where !batch.rows.isEmpty {
            let tape = Tape()
            let hidden = model.hiddenStates(batch.sequences, tape: tape)
            let rows = batch.criterionBatch(hidden: hidden)
            let dRows = Matrix(uninitialized: rows.student.count, width)
            result.sums.add(
                try criterion.evaluate(
                    rows,
                    models: models,
                    step: statistics,
                    engine: engine,
                    dHidden: dRows
                )
            )
            model.backward(batch.spread(dRows), tape: tape)
            result.tokens += batch.sequences.tokenCount
            result.examples += batch.records.count
        }
        result.outcome = optimizer.step(factor: factor)
        if result.outcome.applied { models.studentHead.refresh() }
        return result
    }

    /// The losses of a batch, nothing changed.
    func losses(_ batch: MicroBatch) throws -> CriterionSums {
        guard !batch.rows.isEmpty else { return CriterionSums() }
        let hidden = model.hiddenStates(batch.sequences, tape: nil)
        let rows = batch.criterionBatch(hidden: hidden)
        let statistics = try criterion.statistics(of: [rows], models: models)
        return try criterion.evaluate(
            rows,
            models: models,
            step: statistics,
            engine: engine,
            dHidden: nil
        )
    }
}

import Models
import Ranks
import Tensors

/// A student in training: its model, the criterion, and the optimiser, without files or clocks.
final class StudentTraining {
    let model: any LanguageModel
    let criterion: any Criterion
    let models: CriterionModels
    let optimizer: Optimizer
    let engine: HeadLoss
    /// Of the student and the projectors; nil where none is kept.
    let average: WeightAverage?
    private let ranks: any Communicator
    /// Nil where there is one rank.
    private let exchange: GradientExchange?

    /// What one step did, on all ranks together.
    struct StepResult {
        var sums = CriterionSums()
        var outcome = Optimizer.Outcome(gradientNorm: 0)
        /// Tokens that the student ran over.
        var tokens = 0
        var examples = 0
        /// Examples cut to the longest length, and those left out.
        var cut = 0, dropped = 0
    }

    /// Layers of the student that the criterion looks at.
    private let layers: Set<Int>
    /// What is dropped and what is computed again.
    private let pass: TrainingPass
    private let seed: UInt64

    /// - Parameters:
    ///   - teacher: From the cache.
    ///   - texts: Token texts of both sides, where the criterion reads them.
    ///   - layers: Layers of the student that the criterion looks at.
    ///   - ranks: Those that train the same student on other micro-batches.
    ///   - bucketBytes: Of gradients that ranks add up in one go; nil for the usual number.
    init(
        model: any LanguageModel,
        teacher: CachedTeacher,
        settings: DistillSettings,
        texts: VocabularyTexts? = nil,
        layers: Set<Int> = [],
        ranks: any Communicator = SoloCommunicator(),
        bucketBytes: Int? = nil
    ) throws {
        self.model = model
        self.ranks = ranks
        self.layers = layers
        pass = settings.pass
        seed = settings.seed
        let type = try CriterionRegistry.type(settings.criterion)
        criterion = try type.init(
            CriterionContext(
                settings: try settings.criterionSettings(for: type),
                sizes: CriterionSizes(
                    student: model.outputHead.value.columns,
                    teacher: teacher.hiddenSize
                ),
                seed: settings.seed,
                texts: texts
            )
        )
        optimizer = Optimizer(
            student: model.trainedParameters,
            projectors: criterion.projectors.flatMap(\.parameters),
            settings: settings
        )
        model.prepareTraining(settings.compute)
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
        try criterion.prepare(models)
        if let path = settings.projectorsFrom {
            try ProjectorFile.load(path, into: criterion.projectors, criterion: type.name)
        }
        average =
            settings.ema > 0
            ? WeightAverage(optimizer.slots.map(\.parameter), decay: settings.ema) : nil
        exchange =
            ranks.count > 1
            ? GradientExchange(
                criterion.projectors.flatMap(\.parameters) + model.trainedParameters.reversed(),
                ranks,
                bucketBytes: bucketBytes ?? GradientExchange.bucketBytes
            ) : nil
    }

    /// Runs `body` with the averaged weights in place of the trained ones, where there are such; before
    /// the first applied step there are none.
    func withAverage<Result>(_ body: () throws -> Result) rethrows -> Result {
        guard let average, optimizer.applied > 0 else { return try body() }
        average.exchange()
        weightsChanged()
        defer {
            average.exchange()
            weightsChanged()
        }
        return try body()
    }

    /// One optimiser step over all of its micro-batches.
    ///
    /// - Parameters:
    ///   - batches: This rank's.
    ///   - number: Of the step, which the masks of dropout are made from.
    ///   - factor: Of every learning rate.
    ///   - ceiling: The step is skipped where its total loss is above that.
    func step(
        _ batches: [MicroBatch],
        number: Int = 0,
        factor: Float,
        ceiling: Double? = nil
    ) throws -> StepResult {
        var result = try accumulate(batches, number: number)
        let total = result.sums.means["total"] ?? 0
        result.outcome = optimizer.step(
            factor: factor,
            isSpike: ceiling.map { total > $0 } ?? false,
            // Processors of two kinds may round their sums of the same squares differently.
            agree: ranks.first
        )
        if result.outcome.applied {
            weightsChanged()
            average?.update(step: optimizer.applied)
        }
        return result
    }

    /// Adds the gradients of all ranks' micro-batches to those of what is trained.
    func accumulate(_ all: [MicroBatch], number: Int) throws -> StepResult {
        let width = model.outputHead.value.columns
        let batches = all.filter { !$0.rows.isEmpty }
        var statistics = try criterion.statistics(
            of: batches.map { $0.criterionBatch(width: width) },
            isWhole: ranks.count == 1,
            models: models,
            engine: engine
        )
        statistics.totals = ranks.sum(statistics.totals)
        var result = StepResult()
        for (index, batch) in batches.enumerated() {
            let isLast = index == batches.count - 1
            let tape = Tape(keeping: layers, pass: pass(number, batch.place))
            let hidden = model.hiddenStates(batch.sequences, tape: tape)
            let rows = batch.criterionBatch(hidden: hidden, layers: tape.layerStates)
            let room = { Matrix(uninitialized: rows.student.count, width) }
            let gradients = StateGradients(
                hidden: room(),
                layers: Dictionary(uniqueKeysWithValues: layers.map { ($0, room()) })
            )
            result.sums.add(
                try criterion.evaluate(
                    rows,
                    at: index,
                    models: models,
                    step: statistics,
                    engine: engine,
                    gradients: gradients
                )
            )
            tape.layerGradients = gradients.layers.mapValues(batch.spread)
            if isLast, let exchange {
                exchange.done(criterion.projectors.flatMap(\.parameters))
                tape.gradientsDone = exchange.done
            }
            model.backward(batch.spread(gradients.hidden), tape: tape)
            result.tokens += batch.sequences.tokenCount
            result.examples += batch.records.count
        }
        exchange?.finish()
        return total(result, all)
    }

    /// What all ranks did together.
    private func total(_ own: StepResult, _ batches: [MicroBatch]) -> StepResult {
        var result = own
        result.sums = own.sums.total(over: ranks)
        let counts = ranks.sum([
            Double(own.tokens), Double(own.examples), Double(batches.reduce(0) { $0 + $1.cut }),
            Double(batches.reduce(0) { $0 + $1.dropped }),
        ]).map { Int($0) }
        (result.tokens, result.examples) = (counts[0], counts[1])
        (result.cut, result.dropped) = (counts[2], counts[3])
        return result
    }

    private func pass(_ step: Int, _ batch: Int) -> TrainingPass {
        var pass = pass
        var random = RandomNumbers(
            seed: seed,
            purpose: "dropout \(step)",
            counter: UInt64(batch)
        )
        pass.noise = random.next()
        return pass
    }

    /// Takes note of changed weights.
    func weightsChanged() {
        models.studentHead.refresh()
        model.weightsChanged()
    }

    /// The losses of a batch, nothing changed.
    func losses(_ batch: MicroBatch) throws -> CriterionSums {
        guard !batch.rows.isEmpty else { return CriterionSums() }
        let rows = criterionBatch(batch)
        let statistics = try criterion.statistics(of: [rows], models: models, engine: engine)
        return try criterion.evaluate(
            rows,
            at: 0,
            models: models,
            step: statistics,
            engine: engine,
            gradients: nil
        )
    }

    /// A batch with the student's states as it is now.
    func criterionBatch(_ batch: MicroBatch) -> CriterionBatch {
        let tape = layers.isEmpty ? nil : Tape(watching: layers)
        let hidden = model.hiddenStates(batch.sequences, tape: tape)
        return batch.criterionBatch(hidden: hidden, layers: tape?.layerStates ?? [:])
    }
}

extension DistillSettings {
    /// The student's passes, but for their noise.
    fileprivate var pass: TrainingPass {
        var pass = TrainingPass()
        pass.dropout = dropout
        pass.attentionDropout = attentionDropout
        pass.recomputesBlocks = gradientCheckpointing
        return pass
    }
}

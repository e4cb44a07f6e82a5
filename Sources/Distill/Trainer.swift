import CKernels
import Cache
import Foundation
import Models
import Ranks
import Tensors
import Tokenizers

/// How a run ended.
public enum TrainingOutcome: Sendable, Equatable {
    /// The student is exported and `done.json` is written.
    case finished(steps: Int)
    /// A checkpoint was written after the step; the same command goes on from there (exit code 75).
    case stopped(step: Int)
}

/// Trains a student from a cache, the teacher gone.
///
/// In the output directory: `config.resolved.json`, `run.json`, `metrics.jsonl`, `samples.jsonl`,
/// `tensorboard/`, `checkpoints/`, and at the end `student/` (a Hugging Face directory),
/// `projectors.safetensors` and `done.json`.
public final class Trainer {
    /// The settings, validated, with `steps` and `template` filled in.
    public let settings: DistillSettings
    /// Steps of the whole run.
    public let totalSteps: Int
    /// The run's directory.
    public let output: URL
    let reader: CacheReader
    let tokenizer: Tokenizer
    let training: StudentTraining
    let encoder: StudentEncoder
    let schedule: LearningRateSchedule
    let reading: TeacherReading
    let operations: TrainingOperations
    /// Those that train the same student, each on its pieces of every step.
    let ranks: any Communicator
    /// The first, which all others are like.
    let epoch: CacheStream.EpochSize
    private let pairs: Bool
    /// What decides the numbers of this run, besides the cache.
    let fingerprint: [String: String]

    /// Bytes kept from step to step: each makes the matrices of its way back anew.
    ///
    /// They count only while nobody uses them, so the limit adds little to what a step needs at its height.
    package static let keptMemory = 4 << 30

    /// Reads the teacher's head from the cache and draws the projectors; nothing is written yet.
    ///
    /// - Parameters:
    ///   - model: The student; its parameters are changed in place.
    ///   - tokenizer: The student's.
    ///   - ranks: Those that train together, each with a trainer of the same student, settings and cache.
    ///   - bucketBytes: Of gradients that ranks add up in one go; nil for about 25 MB.
    ///   - memory: Bytes that the run may take; nil for those that the machine has.
    /// - Throws: `DistillError` for settings or a student that do not fit, `CacheError` for the
    ///   cache.
    public init(
        settings: DistillSettings,
        model: any LanguageModel,
        tokenizer: Tokenizer,
        cache reader: CacheReader,
        ranks: any Communicator = SoloCommunicator(),
        bucketBytes: Int? = nil,
        memory: Int? = nil
    ) throws {
        try settings.validate()
        self.ranks = ranks
        try Self.requireDataset(settings, reader.manifest.description)
        ck_set_kept_memory(Self.keptMemory)
        var settings = settings
        self.reader = reader
        self.tokenizer = tokenizer
        output = URL(fileURLWithPath: settings.output, isDirectory: true)
        let type = try CriterionRegistry.type(settings.criterion)
        pairs = type.needs.contains(.pairedPositions)
        let cached = reader.manifest.description
        reading = TeacherReading(
            type.needs,
            try settings.criterionSettings(for: type),
            cached
        )
        try reading.require(of: cached, cache: settings.cache)
        if pairs && tokenizer.fingerprint != cached.tokenizer.fingerprint {
            throw DistillError.unfit(
                "\(settings.criterion) needs the teacher's own tokenizer, and the student's is "
                    + "another; use criterion dskd_cma or dskd_v2_eta"
            )
        }
        try Self.requireFit(model.configuration, tokenizer, settings, reading.studentLayers)
        try Self.addLora(settings, to: model)
        settings.template = settings.template ?? cached.template
        encoder = try StudentEncoder(
            tokenizer: tokenizer,
            templateName: settings.template ?? cached.template,
            maxLength: settings.maxLength,
            maxPromptLength: settings.maxPromptLength
        )
        let examples = try reader.requireExamples(split: settings.split)
        // What the cache does not have is told now, not when the output lies there already.
        let stream = try Self.stream(settings.split, reader, settings, reading)
        totalSteps =
            try settings.batchTokens == nil
            ? settings.totalSteps(examples: examples)
            : settings.totalSteps(batches: stream.batchCount)
        epoch = try stream.size(ofEpoch: 0)
        (settings.steps, settings.epochs) = (totalSteps, nil)
        self.settings = settings
        schedule = LearningRateSchedule(settings, totalSteps: totalSteps)
        try TrainingSizes(
            settings: settings,
            reading: reading,
            model: model,
            trained: model.trainedParameters.reduce(0) { $0 + $1.value.count },
            epoch: epoch,
            steps: totalSteps,
            ranks: (ranks.count, ranks.localCount)
        ).requireMemory(memory ?? MachineMemory.all)
        training = try StudentTraining(
            model: model,
            teacher: try CachedTeacher(
                reader,
                compute: settings.compute,
                needsHead: reading.head,
                needsEmbedding: reading.embedding
            ),
            settings: settings,
            texts: try reading.texts
                ? VocabularyTexts(
                    student: tokenizer,
                    studentRows: model.configuration.vocabularySize,
                    teacher: Evaluator.teacherTokenizer(of: reader),
                    teacherRows: cached.teacher.vocabularySize
                ) : nil,
            layers: reading.studentLayers,
            ranks: ranks,
            bucketBytes: bucketBytes
        )
        operations = TrainingOperations(model, teacher: training.models.teacherHead)
        fingerprint = try settings.fingerprint(of: model, tokenizer: tokenizer)
        try requireEvaluation()
    }

    private static func requireFit(
        _ model: ModelConfiguration,
        _ tokenizer: Tokenizer,
        _ settings: DistillSettings,
        _ layers: Set<Int>
    ) throws {
        try StudentEncoder.requireFit(tokenizer, model)
        guard settings.maxLength <= model.maxPositions else {
            throw DistillError.badSetting(
                key: "max_length",
                value: "\(settings.maxLength)",
                remedy: "the student has \(model.maxPositions) positions; give no more"
            )
        }
        if let layer = layers.max(), layer > model.layerCount {
            throw DistillError.badSetting(
                key: "layers",
                value: "layer \(layer) of the student",
                remedy: "it has \(model.layerCount)"
            )
        }
    }

    static let checkpointDirectory = "checkpoints"
    /// Where a run's directory keeps its settings, all filled in.
    package static let settingsFile = "config.resolved.json"
    var checkpoints: URL { output.appendingPathComponent(Self.checkpointDirectory) }

    /// Trains to the end, or until `shouldStop` says so after a step, on any rank.
    ///
    /// Rank 0 alone writes files, and calls `progress` and `notice`.
    /// A run that is finished is left alone; one whose student is gone or damaged makes it again,
    /// from the last checkpoint or from the start.
    ///
    /// - Parameters:
    ///   - shouldStop: Looked at after every step, for a signal handler's flag.
    ///   - progress: Called after every step, with what `metrics.jsonl` gets.
    ///   - version: Retort's, for `run.json`.
    ///   - notice: Called with what else there is to say.
    /// - Throws: `DistillError`, `CacheError`, `ModelError`.
    public func run(
        version: String = "unknown",
        shouldStop: () -> Bool = { false },
        progress: (TrainingMetrics) -> Void = { _ in },
        notice: (TrainingNotice) -> Void = { _ in }
    ) throws -> TrainingOutcome {
        var state: TrainingCheckpoint.State
        switch try agreeOnStart(notice) {
        case .finished(let steps): return .finished(steps: steps)
        case .from(let found): state = found
        }
        let logs = try ranks.isFirst ? openLogs(state, version: version) : nil
        let source = try MicroBatchSource(
            stream(settings.split),
            position: state.step * settings.accumulate,
            make: makeBatches
        )
        if let pending = state.pending,
            ranks.any(logs.map { $0.metrics.last?.step != pending.step } ?? false)
        {
            guard try measure(pending, logs, shouldStop, progress, notice) else {
                return stopped(state)
            }
        }
        while state.step < totalSteps {
            let metrics = try step(source, &state)
            let isLast = state.step == totalSteps
            let every = settings.checkpointEvery
            let isDue = isLast || every > 0 && state.step % every == 0
            let isMeasured = evaluates(after: state.step) || samples(after: state.step)
            // A stop or a kill while it is measured loses nothing of the step.
            state.pending = isMeasured ? metrics : nil
            if isMeasured && isDue { try checkpoint(state) }
            guard try measure(metrics, logs, shouldStop, progress, notice) else {
                if !isDue { try checkpoint(state) }
                return stopped(state)
            }
            let stops = ranks.any(shouldStop()) && !isLast
            if isDue ? !isMeasured : stops { try checkpoint(state) }
            if stops { return stopped(state) }
        }
        try requireSameWeights(step: state.step)
        var heldOut = logs?.metrics.last?.heldOut
        if ranks.any(ranks.isFirst && heldOut == nil) { heldOut = try heldOutLosses() }
        if let logs { try finish(logs.metrics.last, heldOut: heldOut, state) }
        ranks.barrier()
        return .finished(steps: state.step)
    }

    private func stopped(_ state: TrainingCheckpoint.State) -> TrainingOutcome {
        // Who ends with 75 may end the others.
        ranks.barrier()
        return .stopped(step: state.step)
    }

    /// The newest checkpoint that is whole, put in place, or the start where there is none.
    ///
    /// - Throws: `DistillError.badCheckpoint` where all are damaged.
    func resume(
        _ notice: (TrainingNotice) -> Void
    ) throws -> TrainingCheckpoint.State {
        let names = TrainingCheckpoint.names(in: checkpoints)
        for name in names.reversed() {
            do {
                let state = try restore(name)
                notice(
                    .resumed(step: state.step, path: checkpoints.appendingPathComponent(name).path)
                )
                return state
            } catch let error as DistillError {
                guard case .badCheckpoint(let path, let reason) = error, name != names.first else {
                    throw error
                }
                notice(.damagedCheckpoint(path: path, reason: reason))
            }
        }
        return fresh
    }

    /// A run's state before its first step.
    var fresh: TrainingCheckpoint.State {
        TrainingCheckpoint.State(
            step: 0,
            applied: 0,
            skippedInARow: 0,
            skipped: 0,
            settings: fingerprint,
            cache: reader.contentSHA256,
            files: [:]
        )
    }

    /// Puts a checkpoint in place.
    ///
    /// - Throws: `DistillError.badCheckpoint`, `.differentRun`.
    func restore(_ name: String) throws -> TrainingCheckpoint.State {
        let found = try TrainingCheckpoint(checkpoints.appendingPathComponent(name))
        try requireThisRun(
            settings: found.state.settings,
            cache: found.state.cache,
            at: found.directory
        )
        try found.restore(training)
        return found.state
    }

    /// - Throws: `DistillError.differentRun` with what differs.
    func requireThisRun(settings: [String: String], cache: String, at place: URL) throws {
        let defaults = try self.settings.defaultLines()
        var differences = fingerprint.keys.sorted().compactMap { key -> String? in
            // A run of an older version does not know all settings.
            let (mine, theirs) = (fingerprint[key], settings[key] ?? defaults[key])
            return mine == theirs ? nil : "\(key): \(mine ?? "-") here, \(theirs ?? "-") there"
        }
        if cache != reader.contentSHA256 { differences.append("cache: another content") }
        guard differences.isEmpty else {
            throw DistillError.differentRun(path: place.path, differences: differences)
        }
    }

    func stream(_ split: String) throws -> CacheStream {
        try Self.stream(split, reader, settings, reading)
    }

    private static func stream(
        _ split: String,
        _ reader: CacheReader,
        _ settings: DistillSettings,
        _ reading: TeacherReading
    ) throws -> CacheStream {
        try CacheStream(
            reader: reader,
            split: split,
            seed: settings.seed,
            window: settings.shuffleWindow,
            batch: settings.batchSize,
            reading: .init(memory: settings.loaderMemoryMiB << 20),
            hidden: reading.hidden,
            logits: reading.readsTopK,
            extra: reading.extra
        )
    }

    /// The pieces of a micro-batch that are this rank's: every N-th of a step, or of an evaluation.
    ///
    /// - Parameter firstPiece: How many pieces were before.
    func makeBatches(
        _ records: [CacheRecord],
        firstPiece: Int
    ) throws -> (mine: [MicroBatch], count: Int) {
        try MicroBatch.pieces(
            of: records,
            from: firstPiece,
            isMine: { $0 % ranks.count == ranks.rank },
            limit: settings.passTokens,
            encoder: encoder,
            pairs: pairs,
            reading: reading
        )
    }

    func makeBatch(_ records: [CacheRecord]) throws -> MicroBatch {
        try MicroBatch(
            records,
            encoder: encoder,
            pairs: pairs,
            reading: reading
        )
    }

    private func checkpoint(_ state: TrainingCheckpoint.State) throws {
        try requireSameWeights(step: state.step)
        guard ranks.isFirst else { return }
        try TrainingCheckpoint.write(
            training,
            state: state,
            to: checkpoints,
            keep: settings.keepCheckpoints
        )
    }
}

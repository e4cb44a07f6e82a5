import Cache
import Foundation
import Ranks
import Tokenizers

/// What a run measures after a step, and the files that it writes as it goes.
extension Trainer {
    /// What a run writes as it goes.
    struct Logs {
        let metrics: StepLog<TrainingMetrics>
        let samples: StepLog<TrainingSample>?
        let board: TensorBoardLog?
    }

    /// Writes what is known at the start, and opens what is written as the run goes.
    func openLogs(_ state: TrainingCheckpoint.State, version: String) throws -> Logs {
        if state.step < totalSteps { try forecast().requireDisk(output.path) }
        // Of a run whose student is gone: it is not done until that is there again.
        try? FileManager.default.removeItem(at: output.appendingPathComponent(DoneRecord.file))
        try RunFiles.write(
            RunFiles.json(settings),
            to: output.appendingPathComponent(Self.settingsFile)
        )
        try record(
            RunRecord.now(
                step: state.step,
                retort: version,
                compute: settings.compute,
                ranks: ranks.count
            )
        )
        let logs = Logs(
            metrics: try StepLog(
                output.appendingPathComponent("metrics.jsonl"),
                keepingSteps: state.step
            ),
            samples: try settings.sampleEvery > 0 ? sampleLog(keepingSteps: state.step) : nil,
            board: try settings.tensorboard
                ? TensorBoardLog(output, keepingSteps: state.step) : nil
        )
        best.forget(after: state.step)
        return logs
    }

    /// Measures what is to be measured after a step, and writes it down with the step's figures.
    ///
    /// - Returns: False when a stop was asked for meanwhile: then nothing is written down.
    func measure(
        _ figures: TrainingMetrics,
        _ logs: Logs?,
        _ shouldStop: () -> Bool,
        _ progress: (TrainingMetrics) -> Void,
        _ notice: (TrainingNotice) -> Void
    ) throws -> Bool {
        var (metrics, samples) = (figures, [TrainingSample]())
        let step = metrics.step
        do {
            if evaluates(after: step) {
                metrics.heldOut = try heldOutLosses(shouldStop: shouldStop)
            }
            if self.samples(after: step) {
                if ranks.isFirst { samples = try takeSamples(step: step, shouldStop) }
                try stopTogether(shouldStop)
            }
        } catch is MeasuringStopped {
            return false
        }
        guard let logs else { return true }
        // First: a step whose line is there counts as measured, and one kept twice is kept once.
        let best = try metrics.heldOut.flatMap { try keepIfBest(step: step, $0) }
        try logs.metrics.append(metrics)
        try logs.board?.append(metrics)
        progress(metrics)
        if let heldOut = metrics.heldOut { notice(.heldOut(step: step, heldOut)) }
        if let best { notice(.best(step: step, path: best.path)) }
        for sample in samples {
            try logs.samples?.append(sample)
            notice(.sample(sample))
        }
        return true
    }

    private func record(_ start: RunRecord.Start) throws {
        let cached = reader.manifest.description
        let inputs = RunRecord.Inputs(
            cache: reader.contentSHA256,
            dataset: cached.dataset.sha256,
            teacher: cached.teacher.weightsSHA256,
            student: fingerprint["student"] ?? "",
            tokenizer: tokenizer.fingerprint
        )
        let record = RunRecord.adding(start, inputs, in: output)
        try RunFiles.write(
            RunFiles.json(record),
            to: output.appendingPathComponent(RunRecord.file)
        )
    }

    private func sampleLog(keepingSteps step: Int) throws -> StepLog<TrainingSample> {
        try StepLog(output.appendingPathComponent("samples.jsonl"), keepingSteps: step)
    }
}

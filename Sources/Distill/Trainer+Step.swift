import Foundation
import Ranks
import Tensors

/// One optimiser step of a run.
extension Trainer {
    /// Takes the next micro-batches, and says what came of them.
    ///
    /// - Throws: `DistillError.diverged` after too many steps in a row that were skipped.
    func step(
        _ source: MicroBatchSource,
        _ state: inout TrainingCheckpoint.State
    ) throws -> TrainingMetrics {
        let start = Date()
        let batches = try source.next(settings.accumulate)
        let loaded = Date()
        let factor = schedule.factor(step: state.step)
        var window = state.losses ?? LossWindow()
        let result = try training.step(
            batches,
            number: state.step,
            factor: factor,
            ceiling: window.ceiling(factor: settings.spikeFactor)
        )
        if result.outcome.applied, let total = result.sums.means["total"] { window.append(total) }
        state.losses = window
        state.step += 1
        state.applied = training.optimizer.applied
        state.skippedInARow = result.outcome.applied ? 0 : state.skippedInARow + 1
        state.skipped += result.outcome.applied ? 0 : 1
        guard state.skippedInARow < settings.skipPatience else {
            throw DistillError.diverged(step: state.step, inARow: state.skippedInARow)
        }
        let seconds = max(1e-9, Date().timeIntervalSince(start))
        let rate = ranks.sum([operations.count(batches)])[0] / seconds / Double(ranks.count)
        return TrainingMetrics(
            step: state.step,
            steps: totalSteps,
            epoch: source.epochs,
            losses: result.sums.means.filter { $0.value.isFinite },
            learningRate: Double(settings.learningRate * factor),
            gradientNorm: result.outcome.gradientNorm.isFinite ? result.outcome.gradientNorm : nil,
            skipped: result.outcome.skip?.rawValue,
            skippedInARow: result.outcome.applied ? nil : state.skippedInARow,
            tokens: result.tokens,
            tokensPerSecond: Double(result.tokens) / seconds,
            shareOfPeak: rate / max(1, PlainProduct.rate(settings.compute.available)),
            seconds: seconds,
            dataSeconds: loaded.timeIntervalSince(start),
            memoryMiB: Double(MachineMemory.peak) / 0x1p20,
            examples: result.examples,
            cut: result.cut,
            dropped: result.dropped
        )
    }
}

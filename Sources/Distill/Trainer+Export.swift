import Cache
import Foundation
import Models
import Tokenizers

/// What a finished run leaves.
extension Trainer {
    /// Exports the student and says that the run is done.
    ///
    /// - Parameter last: The newest line of `metrics.jsonl`.
    /// - Throws: `DistillError.diverged` for a student whose losses are no numbers.
    func finish(_ last: TrainingMetrics?, _ state: TrainingCheckpoint.State) throws {
        let heldOut = try last?.heldOut ?? heldOutLosses()
        // A student whose losses are no numbers must not pass for a trained one.
        let isFinite = heldOut.map { $0["ce"]?.isFinite ?? false } ?? true
        guard isFinite, last.map({ $0.losses["total"] != nil }) ?? true else {
            throw DistillError.diverged(step: state.step, inARow: max(1, state.skippedInARow))
        }
        let student = output.appendingPathComponent("student")
        try RunFiles.makeDirectory(student)
        try RunFiles.writing(student) {
            try training.withAverage {
                try exportHuggingFace(training.model, to: student, type: .f32)
            }
            try tokenizer.write(to: student)
        }
        let card = ModelCard(
            settings: settings,
            cache: reader.manifest,
            steps: state.step,
            heldOut: heldOut
        )
        try RunFiles.write(
            Data(card.text.utf8),
            to: student.appendingPathComponent("README.md")
        )
        let projectors = training.criterion.projectors.flatMap(\.parameters)
        if !projectors.isEmpty {
            try training.withAverage {
                try TrainingCheckpoint.writeParameters(
                    projectors,
                    to: output,
                    TrainingCheckpoint.projectorFile
                )
            }
        }
        let done = DoneRecord(
            steps: state.step,
            skipped: state.skipped,
            losses: last?.losses ?? [:],
            heldOut: heldOut,
            weightsSHA256: try sha256(of: student.appendingPathComponent("model.safetensors")),
            settings: state.settings,
            cache: state.cache
        )
        try RunFiles.write(RunFiles.json(done), to: output.appendingPathComponent("done.json"))
    }
}

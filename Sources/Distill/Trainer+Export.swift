import Cache
import Foundation
import Models
import Tokenizers

/// What a run leaves: the best students on the way, and at the end the one that it was for.
extension Trainer {
    /// The best students so far.
    var best: BestStudents {
        BestStudents(
            directory: checkpoints,
            count: settings.keepBest,
            by: DistillSettings.BestBy(rawValue: settings.bestBy) ?? .loss
        )
    }

    /// Keeps the student of a step if it is among the best.
    ///
    /// - Returns: Where it lies.
    /// - Throws: `DistillError.file`.
    func keepIfBest(step: Int, _ heldOut: [String: Double]) throws -> URL? {
        try best.offer(BestStudents.Record(step: step, heldOut: heldOut)) { directory in
            try write(student: directory, beside: directory, steps: step, heldOut: heldOut)
        }
    }

    /// Exports the student and says that the run is done.
    ///
    /// - Parameters:
    ///   - last: The newest line of `metrics.jsonl`.
    ///   - measured: Means over the held-out split.
    /// - Throws: `DistillError.diverged` for a student whose losses are no numbers.
    func finish(
        _ last: TrainingMetrics?,
        heldOut measured: [String: Double]?,
        _ state: TrainingCheckpoint.State
    ) throws {
        var (heldOut, step) = (measured, state.step)
        // A student whose losses are no numbers must not pass for a trained one.
        let isSound = heldOut.map { $0["ce"]?.isFinite ?? false } ?? isSound(after: last, state)
        let chosen = best.entries().first
        let isLast = settings.export == DistillSettings.Export.last.rawValue
        guard isLast ? isSound : chosen != nil
        else {
            throw DistillError.diverged(step: state.step, inARow: max(1, state.skippedInARow))
        }
        let student = output.appendingPathComponent("student")
        try RunFiles.makeDirectory(student)
        if !isLast, let chosen {
            (step, heldOut) = (chosen.record.step, chosen.record.heldOut)
            try copy(chosen.directory, to: student)
        } else {
            try write(student: student, beside: output, steps: step, heldOut: heldOut)
        }
        let done = DoneRecord(
            steps: state.step,
            exportedStep: step,
            skipped: state.skipped,
            losses: last?.losses ?? [:],
            heldOut: heldOut,
            weightsSHA256: try sha256(of: student.appendingPathComponent("model.safetensors")),
            beside: try DoneRecord.hashes(in: output),
            settings: state.settings,
            cache: state.cache
        )
        try RunFiles.write(RunFiles.json(done), to: output.appendingPathComponent(DoneRecord.file))
    }

    /// Whether the last step's loss is a number, or the step was left out and those before it were not.
    private func isSound(after last: TrainingMetrics?, _ state: TrainingCheckpoint.State) -> Bool {
        guard let last, last.losses["total"] == nil else { return true }
        return last.skipped != nil && state.applied > 0
    }

    /// A directory that `retort generate` and transformers load, with its card; projectors and factors, where
    /// there are some, are written beside it.
    private func write(
        student: URL,
        beside place: URL,
        steps: Int,
        heldOut: [String: Double]?
    ) throws {
        let projectors = training.criterion.projectors.flatMap(\.parameters)
        try RunFiles.writing(student) {
            try training.withAverage {
                try exportHuggingFace(training.model, to: student, type: .f32)
                if !projectors.isEmpty {
                    let file = TrainingCheckpoint.projectorFile
                    try TrainingCheckpoint.writeParameters(projectors, to: place, file)
                }
                try writeAdapter(to: place)
            }
            try tokenizer.write(to: student)
        }
        let card = ModelCard(
            settings: settings,
            cache: reader.manifest,
            steps: steps,
            heldOut: heldOut
        )
        try RunFiles.write(Data(card.text.utf8), to: student.appendingPathComponent("README.md"))
    }

    /// The files of one of the best students, to where the exported one lies.
    private func copy(_ best: URL, to student: URL) throws {
        let manager = FileManager.default
        do {
            for name in try manager.contentsOfDirectory(atPath: best.path).sorted()
            where name != BestStudents.recordFile {
                let isBeside = [TrainingCheckpoint.projectorFile, Self.adapterDirectory].contains(
                    name
                )
                let place = isBeside ? output : student
                let target = place.appendingPathComponent(name)
                try? manager.removeItem(at: target)
                try manager.copyItem(at: best.appendingPathComponent(name), to: target)
                try RunFiles.flush(target)
            }
        } catch let error as CocoaError {
            throw DistillError.file(
                path: student.path,
                reason: "cannot be copied from \(best.path): \(error.localizedDescription)"
            )
        }
    }
}

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
            try writeStudent(to: directory, steps: step, heldOut: heldOut)
            try writeProjectors(to: directory)
            try writeAdapter(to: directory)
        }
    }

    /// Exports the student and says that the run is done.
    ///
    /// - Parameter last: The newest line of `metrics.jsonl`.
    /// - Throws: `DistillError.diverged` for a student whose losses are no numbers.
    func finish(_ last: TrainingMetrics?, _ state: TrainingCheckpoint.State) throws {
        var heldOut = try last?.heldOut ?? heldOutLosses()
        var step = state.step
        // A student whose losses are no numbers must not pass for a trained one.
        let isFinite = heldOut.map { $0["ce"]?.isFinite ?? false } ?? true
        let chosen = best.entries().first
        let isLast = settings.export == DistillSettings.Export.last.rawValue
        guard isLast ? isFinite && last.map({ $0.losses["total"] != nil }) ?? true : chosen != nil
        else {
            throw DistillError.diverged(step: state.step, inARow: max(1, state.skippedInARow))
        }
        let student = output.appendingPathComponent("student")
        try RunFiles.makeDirectory(student)
        if !isLast, let chosen {
            (step, heldOut) = (chosen.record.step, chosen.record.heldOut)
            try copy(chosen.directory, to: student)
        } else {
            try writeStudent(to: student, steps: step, heldOut: heldOut)
            try writeProjectors(to: output)
            try writeAdapter(to: output)
        }
        let done = DoneRecord(
            steps: state.step,
            exportedStep: step,
            skipped: state.skipped,
            losses: last?.losses ?? [:],
            heldOut: heldOut,
            weightsSHA256: try sha256(of: student.appendingPathComponent("model.safetensors")),
            settings: state.settings,
            cache: state.cache
        )
        try RunFiles.write(RunFiles.json(done), to: output.appendingPathComponent("done.json"))
    }

    /// A directory that `retort generate` and transformers load, with its card.
    private func writeStudent(to directory: URL, steps: Int, heldOut: [String: Double]?) throws {
        try RunFiles.writing(directory) {
            try training.withAverage {
                try exportHuggingFace(training.model, to: directory, type: .f32)
            }
            try tokenizer.write(to: directory)
        }
        let card = ModelCard(
            settings: settings,
            cache: reader.manifest,
            steps: steps,
            heldOut: heldOut
        )
        try RunFiles.write(
            Data(card.text.utf8),
            to: directory.appendingPathComponent("README.md")
        )
    }

    private func writeProjectors(to directory: URL) throws {
        let projectors = training.criterion.projectors.flatMap(\.parameters)
        guard !projectors.isEmpty else { return }
        try training.withAverage {
            try TrainingCheckpoint.writeParameters(
                projectors,
                to: directory,
                TrainingCheckpoint.projectorFile
            )
        }
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

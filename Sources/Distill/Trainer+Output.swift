import Foundation

/// What lies in a run's directory before it starts.
extension Trainer {
    /// Where a run would begin.
    public enum OutputState: Sendable, Equatable {
        /// Nothing is there.
        case fresh
        /// The newest checkpoint.
        case unfinished(step: Int)
        /// The student is there, whole.
        case finished
    }

    /// What a run would find, nothing changed.
    ///
    /// - Throws: `DistillError` where it would be refused: for what lies there, or for the disk's free space.
    public func outputState() throws -> OutputState {
        try requireOwnOutput()
        if let done = DoneRecord.read(output) {
            try requireThisRun(settings: done.settings, cache: done.cache, at: output)
            if done.isWhole(in: output) { return .finished }
        }
        try forecast().requireDisk(output.path)
        guard let name = TrainingCheckpoint.names(in: checkpoints).last else { return .fresh }
        let newest = try TrainingCheckpoint(checkpoints.appendingPathComponent(name))
        try requireThisRun(
            settings: newest.state.settings,
            cache: newest.state.cache,
            at: newest.directory
        )
        return .unfinished(step: newest.state.step)
    }

    /// Refuses a directory with files of a run's names that no run has made, and the student's own.
    ///
    /// - Throws: `DistillError.badSetting`, `.outputTaken`.
    func requireOwnOutput() throws {
        let student = output.appendingPathComponent("student")
        let source = URL(fileURLWithPath: settings.student.from)
        guard student.resolvingSymlinksInPath() != source.resolvingSymlinksInPath() else {
            throw DistillError.badSetting(
                key: "output",
                value: settings.output,
                remedy:
                    "its student/ is the one that the run starts from, and would be written over; "
                    + "choose another output"
            )
        }
        func exists(_ name: String) -> Bool {
            FileManager.default.fileExists(atPath: output.appendingPathComponent(name).path)
        }
        // A run writes these first.
        let first = [Self.settingsFile, RunRecord.file, Self.checkpointDirectory, DoneRecord.file]
        guard !first.contains(where: exists) else { return }
        let others = [
            "student", Self.adapterDirectory, TrainingCheckpoint.projectorFile, "metrics.jsonl",
            "samples.jsonl", "tensorboard",
        ]
        if let name = others.first(where: exists) {
            throw DistillError.outputTaken(path: output.path, name: name)
        }
    }
}

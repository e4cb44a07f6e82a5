import Cache
import Distill
import Foundation

extension DistillStage {
    /// Refuses before the training what could not be written after it.
    static func checkAlignment(
        _ settings: DistillSettings,
        to path: String,
        replace: Bool
    ) throws {
        try settings.validate()
        guard settings.criterion == CrossModelDualSpace.name else {
            throw Failure(
                "--dump-alignment: \(settings.criterion) learns no alignment; "
                    + "\(CrossModelDualSpace.name) does",
                code: Failure.Code.usage
            )
        }
        try OutputFile.check(path, replace: replace)
        try CacheReader(
            directory: URL(fileURLWithPath: settings.cache),
            unfinished: settings.unfinishedCache
        ).requireExamples(split: settings.heldOutSplit)
    }

    /// Writes what the attention of a finished run matches, an example a line.
    static func dumpAlignment(_ settings: DistillSettings, to path: String, limit: Int) throws {
        let finished = settings.finished(in: settings.output)
        var lines = Data()
        var count = 0
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try trainer(finished).alignments(limit: limit) { example in
            if Signals.shouldStop {
                throw Failure("distill: stopped; no alignment was kept", code: Failure.Code.stopped)
            }
            lines += try encoder.encode(example) + Data("\n".utf8)
            count += 1
        }
        try RunFiles.write(lines, to: URL(fileURLWithPath: path))
        Console.say("distill: the alignment of \(count) held-out examples is in \(path)")
    }
}

extension DistillSettings {
    /// The same over what the finished run left: its student, with the factors merged, and its projectors.
    func finished(in run: String) -> DistillSettings {
        var finished = self
        finished.student.from = "\(run)/student"
        finished.projectorsFrom = "\(run)/projectors.safetensors"
        finished.lora = nil
        return finished
    }
}

import ArgumentParser
import Cache
import Distill
import Foundation
import Models
import Ranks
import Tokenizers

/// Stage two.
struct DistillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "distill",
        abstract: "Train a student from a cache, the teacher gone.",
        discussion: """
            Run again after a stop, it goes on from the last checkpoint to the same weights. What the run will
            take (memory, disk, steps) is said by --dry-run; docs/training.md has every setting and file, and
            how several processes train one student (mpirun).

            Examples:
              retort distill --set cache=runs/quickstart/cache \\
                --set student.from=runs/quickstart/student \\
                --set output=runs/mine --set criterion=dskd_cma --set steps=100
              retort distill --config mine.yaml --set learning_rate=1e-3
              retort distill --config mine.yaml --dump-alignment alignment.jsonl

            Criteria (docs/criteria.md): \(CriterionRegistry.names.joined(separator: ", "))
            Settings (docs/training.md): \(DistillSettings.CodingKeys.allCases.map(\.rawValue).joined(separator: ", "))
            """
    )

    @OptionGroup var options: SettingsOptions

    @Option(
        name: .customLong("dump-alignment"),
        help: ArgumentHelp(
            "Write what dskd_cma's attention matches, with the tokens of both sides, to a JSONL file.",
            discussion:
                "Of the held-out examples, once the run is finished; a finished run is not trained again.",
            valueName: "file"
        )
    )
    var alignment: String?

    @Option(help: "How many examples --dump-alignment writes at most.")
    var alignmentExamples = 16

    @Flag(
        help:
            "Go on from a checkpoint; fail where there is none (a run goes on by itself otherwise)."
    )
    var resume = false

    @Flag(help: "Write over a --dump-alignment file that is there.")
    var replace = false

    func validate() throws {
        guard alignmentExamples > 0 else {
            throw ValidationError("--alignment-examples: give 1 or more")
        }
        guard alignment != nil || !replace else {
            throw ValidationError("--replace belongs to --dump-alignment")
        }
    }

    func run() throws {
        try DistillRanks.run { try run(on: $0) }
    }

    private func run(on ranks: any Communicator) throws {
        let settings = try DistillStage.decode(
            try options.section("distill"),
            student: nil,
            section: "distill"
        )
        if let alignment {
            try DistillStage.checkAlignment(settings, to: alignment, replace: replace)
        }
        if options.isDryRun {
            try settings.validate()
            let plan = try DistillPlan(settings, ranks)
            if ranks.isFirst { Console.print(options.isJSON ? try jsonText(plan) : plan.text) }
            return
        }
        try DistillStage.run(settings, title: "distill", ranks, mustResume: resume)
        guard ranks.isFirst else { return }
        if let alignment {
            try DistillStage.dumpAlignment(settings, to: alignment, limit: alignmentExamples)
        }
        if options.isJSON, let done = DoneRecord.read(URL(fileURLWithPath: settings.output)) {
            Console.print(try jsonText(done))
        }
    }
}

/// Training with its progress and words, for `distill` and `run`.
enum DistillStage {
    static func decode(
        _ value: ConfigurationFile.Value,
        student: String?,
        section: String
    ) throws -> DistillSettings {
        var value = value
        if let student, value["student"] == nil {
            value = value.merging(
                .mapping(
                    [
                        (
                            "student",
                            .mapping(
                                [("from", .scalar(student, isQuoted: true, place: section))],
                                place: section
                            )
                        )
                    ],
                    place: section
                )
            )
        }
        for (name, known) in [
            ("student", ["from"]), ("lora", LoraOptions.CodingKeys.allCases.map(\.rawValue)),
        ] {
            guard case .mapping(let entries, _)? = value[name] else { continue }
            for (key, inner) in entries where !known.contains(key) {
                let near = ConfigurationError.nearest(key, among: known) ?? known[0]
                throw ConfigurationError(
                    place: inner.place,
                    message: "unknown key \"\(section).\(name).\(key)\"",
                    remedy: "did you mean \"\(near)\"?"
                )
            }
        }
        return try value.decode(
            DistillSettings.self,
            keys: DistillSettings.CodingKeys.allCases.map(\.rawValue),
            section: section
        )
    }

    static func trainer(
        _ settings: DistillSettings,
        _ ranks: any Communicator = SoloCommunicator()
    ) throws -> Trainer {
        let reader = try CacheReader(
            directory: URL(fileURLWithPath: settings.cache),
            unfinished: settings.unfinishedCache
        )
        if reader.isSnapshot {
            Console.say(
                "\(settings.cache): still being made; this run uses the \(reader.shardsInWords) that "
                    + "are finished now"
            )
        }
        let (model, tokenizer) = try ModelLoading.load(settings.student.from)
        return try Trainer(
            settings: settings,
            model: model,
            tokenizer: tokenizer,
            cache: reader,
            ranks: ranks
        )
    }

    /// Refuses a place where something else lies.
    ///
    /// - Throws: `Failure` (73).
    static func requireFree(_ output: String) throws {
        let manager = FileManager.default
        var isDirectory: ObjCBool = false
        if manager.fileExists(atPath: output, isDirectory: &isDirectory), !isDirectory.boolValue {
            throw Failure(
                "\(output): there is a file of that name; choose another output",
                code: Failure.Code.outputExists
            )
        }
        for name in ["manifest.json", "config.json"]
        where manager.fileExists(atPath: "\(output)/\(name)") {
            throw Failure(
                "\(output): a cache or a model lies here; choose another output",
                code: Failure.Code.outputExists
            )
        }
    }

    /// One training a directory; the lock goes with the process that holds it.
    static func lock(_ output: String) throws -> Int32 {
        try requireFree(output)
        do {
            try FileManager.default.createDirectory(
                atPath: output,
                withIntermediateDirectories: true
            )
        } catch {
            throw Failure(
                "\(output): the directory cannot be made: \(error.localizedDescription) Choose another "
                    + "output, or see to its permissions.",
                code: Failure.Code.inputOutput
            )
        }
        let descriptor = open("\(output)/.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw Failure("\(output): cannot be written", code: Failure.Code.inputOutput)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw Failure(
                "\(output): another process is training here; wait for it, or stop it",
                code: Failure.Code.inputOutput
            )
        }
        return descriptor
    }

    /// - Throws: `Failure` (66) where there is nothing to go on from, and no finished run.
    private static func requireCheckpoint(_ output: String) throws {
        let url = URL(fileURLWithPath: output)
        guard DoneRecord.read(url) == nil, !Trainer.hasCheckpoint(in: url) else { return }
        throw Failure(
            "\(output): there is no checkpoint to go on from; leave out --resume to start anew",
            code: Failure.Code.missing
        )
    }

    /// - Throws: `Failure` with code 75 when a stop was asked for, on all ranks.
    static func run(
        _ settings: DistillSettings,
        title: String,
        _ ranks: any Communicator = SoloCommunicator(),
        mustResume: Bool = false
    ) throws {
        let start = Date()
        if mustResume && ranks.isFirst { try requireCheckpoint(settings.output) }
        let lock = try ranks.isFirst ? lock(settings.output) : nil
        defer { if let lock { close(lock) } }
        let trainer = try trainer(settings, ranks)
        let processes = ranks.count > 1 ? ", \(ranks.count) processes" : ""
        Console.say(
            "\(title): \(settings.criterion), \(trainer.totalSteps) steps of "
                + "\(settings.stepInWords), learning rate "
                + "\(settings.learningRate)\(processes)"
        )
        if settings.warmupSteps >= trainer.totalSteps {
            Console.say(
                "\(title): note: warmup_steps is \(settings.warmupSteps), so the learning rate never gets "
                    + "to what is asked for"
            )
        }
        let progress = ProgressLine(title, unit: "steps")
        var (isFirst, isDoneBefore) = (true, false)
        func show(_ metrics: TrainingMetrics) {
            if isFirst { progress.start(at: Double(metrics.step - 1)) }
            isFirst = false
            if let reason = metrics.skipped {
                progress.finish()
                let line = TrainingWords.skipped(metrics, reason, patience: settings.skipPatience)
                Console.say("\(title): \(line)")
            }
            progress.update(
                Double(metrics.step),
                of: Double(metrics.steps),
                detail: TrainingWords.figures(metrics)
            )
        }
        func tell(_ notice: TrainingNotice) {
            progress.finish()
            if notice == .finishedBefore { isDoneBefore = true }
            Console.say("\(title): \(TrainingWords.line(notice))")
        }
        let outcome = try trainer.run(
            version: Version.text,
            shouldStop: { Signals.shouldStop },
            progress: show,
            notice: tell
        )
        progress.finish()
        switch outcome {
        case .finished(let steps):
            let time = ProgressLine.duration(Date().timeIntervalSince(start))
            Console.say(
                "\(title): \(steps) steps done\(isDoneBefore ? "" : " in \(time)"); the student is "
                    + "\(settings.output)/student"
            )
        case .stopped(let step):
            throw Failure(
                "\(title): stopped after step \(step) of \(trainer.totalSteps), checkpoint saved; "
                    + "run the same command again to go on",
                code: Failure.Code.stopped
            )
        }
    }
}

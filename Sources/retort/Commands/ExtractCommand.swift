import ArgumentParser
import Extract
import Foundation

/// Stage one.
struct ExtractCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract",
        abstract: "Run a teacher once and keep what students need of it.",
        discussion: """
            Makes a cache directory of HDF5 shards. Run again, it does only what is missing.

            Examples:
              retort extract --set teacher=models/smollm2-135m-instruct.gguf \\
                --set data=data/instructions.jsonl --set output=runs/cache
              retort extract --config pipelines/quickstart.yaml \\
                --set output=runs/cache --dry-run
              srun -n 8 retort extract --config extract.yaml
              retort extract --config big.yaml --memory 8GiB

            Settings: \(ExtractSettings.CodingKeys.allCases.map(\.rawValue).joined(separator: ", "))
            """
    )

    @OptionGroup var options: SettingsOptions

    @Option(
        help: """
            I/N: this is worker I (from 0) of N that fill one cache together. Without it the \
            scheduler's variables say so (Slurm, Open MPI, PMI, Kubernetes, torchrun); none \
            ignores them. See docs/workers.md.
            """
    )
    var worker: String?

    @Flag(help: "Do the shards dealt to this worker and no others: for an output of its own.")
    var onlyDealt = false

    @Option(
        help: ArgumentHelp(
            "What may be resident, such as 8GiB; three quarters of what is free if not given.",
            valueName: "size"
        )
    )
    var memory: String?

    func run() throws {
        let worker = try chosenWorker()
        var settings = try options.section("extract").decode(
            ExtractSettings.self,
            keys: ExtractSettings.CodingKeys.allCases.map(\.rawValue),
            section: "extract"
        )
        if let worker { Console.say("extract: \(worker)") }
        if let memory {
            guard let size = ByteCount(memory) else {
                throw Failure(
                    "--memory: \"\(memory)\" is no size; give one such as 512MiB or 8GiB",
                    code: Failure.Code.usage
                )
            }
            settings.memory = size
        }
        let extraction = try Extraction(settings)
        if options.isDryRun {
            try ExtractStage.show(extraction.trialForecast(), asJSON: options.isJSON)
            return
        }
        try ExtractStage.run(extraction, settings, worker: worker)
        if options.isJSON { try ExtractStage.show(extraction.forecast(), asJSON: true) }
    }

    private func chosenWorker() throws -> Worker? {
        var found: Worker?
        if let worker, worker != "none" {
            found = try Worker(argument: worker)
        } else if worker == nil {
            found = try Worker.detect(ProcessInfo.processInfo.environment)
        }
        if onlyDealt, found == nil {
            throw Failure(
                "--only-dealt: this is not one of several workers. Give --worker I/N",
                code: Failure.Code.usage
            )
        }
        found?.onlyDealt = onlyDealt
        return found
    }
}

/// Extraction with its progress and words, for `extract` and `run`.
enum ExtractStage {
    static func run(
        _ extraction: Extraction,
        _ settings: ExtractSettings,
        worker: Worker? = nil
    ) throws {
        Console.say(summary(try extraction.forecast()))
        let start = Date()
        let progress = ProgressLine("extract", unit: "tokens")
        defer { progress.finish() }
        let outcome = try extraction.run(
            worker: worker,
            progress: {
                progress.update(
                    $0.tokensDone,
                    of: Double($0.tokenCount),
                    detail: "shard \($0.shardsDone) of \($0.shardCount)"
                )
            },
            shouldStop: { Signals.shouldStop }
        )
        progress.finish()
        let seconds = ProgressLine.duration(Date().timeIntervalSince(start))
        Console.say(
            outcome.isComplete
                ? "extract: done in \(seconds); the cache is \(settings.output)"
                : "extract: nothing left to do after \(seconds); "
                    + left(outcome, settings, isOwnOutput: worker?.onlyDealt == true)
        )
    }

    private static func left(
        _ outcome: Extraction.Outcome,
        _ settings: ExtractSettings,
        isOwnOutput: Bool
    ) -> String {
        var parts: [String] = []
        let count = outcome.missingShards.count
        if count > 0 { parts.append("\(count) of \(outcome.shardCount) shards") }
        if outcome.isTeacherMissing { parts.append("teacher.h5") }
        let text = parts.joined(separator: " and ")
        return isOwnOutput
            ? "\(text) left to other workers: put the parts together with "
                + "retort cache merge \(settings.output) OTHERS… OUTPUT"
            : "\(text) still being written by others; the last of them completes the cache, or "
                + "else the same command once more"
    }

    static func summary(_ f: Extraction.Forecast) -> String {
        let splits = f.splits.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        var text =
            "extract: \(f.examples) examples (\(splits.joined(separator: ", "))), \(f.tokens) tokens, "
            + "\(f.rows) rows, \(f.shards) shards, \(f.shardsDone) of them there already"
        let left = [
            ("prompts cut", f.promptsCut), ("examples cut at the end", f.examplesCut),
            ("duplicates left out", f.duplicates), ("without a response", f.withoutResponse),
        ].filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }
        if !left.isEmpty { text += "; " + left.joined(separator: ", ") }
        return text
    }

    static func show(_ forecast: Extraction.Forecast, asJSON: Bool) throws {
        if asJSON {
            Console.print(try jsonText(forecast))
            return
        }
        Console.print(summary(forecast))
        for line in details(forecast) { Console.print("  \(line)") }
    }

    private static func details(_ f: Extraction.Forecast) -> [String] {
        typealias Part = KeyPath<Extraction.PartBytes, Int>
        let parts: [(String, Part)] = [
            ("hidden states", \.hidden), ("logits", \.logits), ("texts and ids", \.text),
            ("head", \.head), ("embedding", \.embedding), ("cache", \.total),
        ]
        var lines = parts.map { name, part in
            let raw = ProgressLine.bytes(f.bytes[keyPath: part])
            let label = name.padding(toLength: 16, withPad: " ", startingAt: 0)
            guard let trial = f.trial else { return "\(label)\(raw) before compression" }
            return "\(label)\(ProgressLine.bytes(trial.bytes[keyPath: part])), "
                + "\(raw) before compression"
        }
        let m = f.memory
        lines.append(
            "memory          \(ProgressLine.bytes(m.peak)) of \(ProgressLine.bytes(m.budget)); "
                + "at least \(ProgressLine.bytes(m.least))"
                + (m.scratchFile > 0
                    ? "; a scratch file of \(ProgressLine.bytes(m.scratchFile))" : "")
        )
        let work = String(format: "%.1f", f.operations / 1e12) + " TFLOP"
        if let trial = f.trial {
            lines.append(
                "time            \(ProgressLine.duration(trial.seconds.rounded())) (\(work)), from "
                    + "\(trial.tokens) tokens through \(trial.layers) layers"
            )
        } else {
            lines.append("work            \(work)")
        }
        return lines
    }
}

/// A value as one JSON document with sorted keys.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

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

    func run() throws {
        let worker = try chosenWorker()
        let settings = try options.section("extract").decode(
            ExtractSettings.self,
            keys: ExtractSettings.CodingKeys.allCases.map(\.rawValue),
            section: "extract"
        )
        if let worker { Console.say("extract: \(worker)") }
        let extraction = try Extraction(settings)
        if options.isDryRun {
            try ExtractStage.show(extraction.forecast(), asJSON: options.isJSON)
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
        Console.say(summary(extraction.forecast()))
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
        Console.print(
            "  cache before compression  \(ProgressLine.bytes(forecast.bytes))\n"
                + "  memory                    about \(ProgressLine.bytes(forecast.memoryBytes))\n"
                + "  work                      "
                + String(format: "%.1f", forecast.operations / 1e12) + " TFLOP, about "
                + ProgressLine.duration(forecast.operations / 1.5e11) + " at 150 GFLOP/s"
        )
    }
}

/// A value as one JSON document with sorted keys.
func jsonText(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

import ArgumentParser
import Cache
import Distill
import Foundation

extension CacheCommand {
    /// What each way of storing the teacher would cost, measured on rows of a cache.
    struct Fidelity: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure what each way of storing a teacher costs: bytes, KL, gradients.",
            discussion: """
                Prints a table for each temperature, sorted by bytes a row: hidden states in four types, \
                top-k, sampled and full logits. Exact is what the cache has; with --teacher it is the \
                teacher run in f32, and the teacher run in bf16 is the yardstick: what is below it is \
                below the teacher's own noise. docs/fidelity.md defines every number.

                Examples:
                  retort cache fidelity runs/quickstart/cache
                  retort cache fidelity runs/quickstart/cache --rows 2048 \\
                    --teacher models/smollm2-135m-instruct.gguf
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Option(help: "The split whose rows are looked at.")
        var split = "held_out"

        @Option(help: "Rows at most; 0 for all of the split.")
        var rows = 8192

        @Option(help: "The teacher of the cache: a Hugging Face directory or a GGUF file.")
        var teacher: String?

        @Option(help: "The LoRA adapter that the teacher was run with.")
        var adapter: String?

        @Option(help: "Temperatures of both sides, with commas.")
        var temperatures = "1,2"

        @Option(help: "Rows whose gradients are added up before they are compared.")
        var batch = FidelitySettings().batchRows

        @Option(help: "The student of the gradients has the exact logits divided by this; not 1.")
        var softness = FidelitySettings().softness

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            _ = try parsedTemperatures()
            guard rows >= 0 else { throw ValidationError("--rows is a number of rows, or 0.") }
            guard batch > 0 else { throw ValidationError("--batch is at least 1.") }
            guard softness >= 0.01, softness <= 100, softness != 1 else {
                throw ValidationError(
                    "--softness is from 0.01 to 100, but not 1: no gradient is left."
                )
            }
            guard adapter == nil || teacher != nil else {
                throw ValidationError("--adapter belongs to a --teacher.")
            }
        }

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            try reader.requireExamples(split: split)
            let run = try teacher.map {
                try FidelityTeacher($0, adapter: adapter, of: reader, cache: cache)
            }
            var settings = FidelitySettings()
            settings.temperatures = try parsedTemperatures()
            settings.batchRows = batch
            settings.softness = softness
            let stored = reader.manifest.description.signals.hiddenType
            let measure = try CacheFidelity(
                reader,
                reference: run == nil ? .cache(stored) : .teacher,
                settings: settings
            )
            let report = try self.measure(measure, reader, run)
            Console.print(isJSON ? try jsonText(report) : report.table)
        }

        private func measure(
            _ measure: CacheFidelity,
            _ reader: CacheReader,
            _ run: FidelityTeacher?
        ) throws -> FidelityReport {
            let source = FidelitySource(reader, split: split, limit: rows, teacher: run)
            let progress = ProgressLine("fidelity", unit: "rows")
            defer { progress.finish() }
            let total = Double(source.mostRows)
            var done = 0.0
            func show(_ rows: Int) {
                done = Double(rows)
                progress.update(done, of: max(total, done + 1))
            }
            let stopped = Failure(
                "\(cache): stopped; nothing was kept. Run the same command again, with fewer --rows "
                    + "if it takes too long",
                code: Failure.Code.stopped
            )
            let isDone = try source.forEachBlock { precision in
                guard !Signals.shouldStop else { throw stopped }
                progress.update(done, of: max(total, done + 1), detail: "teacher in \(precision)")
            } body: { block in
                try measure.append(block, progress: show) { Signals.shouldStop }
            }
            guard isDone,
                let report = try measure.finish(
                    split: split,
                    examples: source.examples,
                    progress: show,
                    shouldStop: { Signals.shouldStop }
                )
            else { throw stopped }
            guard report.rows > 0 else {
                throw DistillError.noExamples(
                    split: split,
                    remedy: "none of those in \(cache) has a supervised position"
                )
            }
            progress.update(Double(report.rows), of: Double(report.rows))
            return report
        }

        private func parsedTemperatures() throws -> [Float] {
            let parts = temperatures.split(separator: ",", omittingEmptySubsequences: false)
            let values = parts.compactMap { Float($0.trimmingCharacters(in: .whitespaces)) }
            guard values.count == parts.count, values.allSatisfy({ $0 >= 0.01 && $0 <= 1000 }),
                Set(values).count == values.count
            else {
                throw ValidationError(
                    "--temperatures \(temperatures): give different numbers from 0.01 to 1000 with "
                        + "commas, such as 1,2"
                )
            }
            return values
        }
    }
}

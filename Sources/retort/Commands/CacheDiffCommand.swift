import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// In what two caches differ.
    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Explain in what two caches differ; exit 1 when they do.",
            discussion: """
                Settings, ids, splits, tokens and texts are compared of all examples; hidden states and \
                logits of \(CacheComparer.sampleSize) examples, evenly spread, or of all with --all. Of \
                each array it tells how many rows are equal, the largest and the mean absolute difference, \
                and the difference relative to A. Likely tokens are compared by token; for logits/topk_ids \
                the figures are shares of tokens that only one of the two has.

                README.md is not compared. Exit codes: 0 equal, 1 different, 65 damaged, 66 missing.

                Examples:
                  retort cache diff runs/a/cache runs/b/cache
                  retort cache diff runs/a/cache runs/b/cache --all --json
                """
        )

        @Argument(help: "A cache directory.")
        var a: String

        @Argument(help: "The cache directory to compare it with.")
        var b: String

        @Flag(help: "Compare the signals of all examples.")
        var all = false

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func run() throws {
            let comparer = CacheComparer(
                try CacheReader(directory: URL(fileURLWithPath: a)),
                try CacheReader(directory: URL(fileURLWithPath: b))
            )
            let progress = ProgressLine("diff", unit: "examples")
            defer { progress.finish() }
            let difference = try comparer.compare(
                all: all,
                progress: { progress.update(Double($0), of: Double($1)) },
                shouldStop: { Signals.shouldStop }
            )
            progress.finish()
            guard let difference else {
                throw Failure(
                    "diff: stopped; run the same command again",
                    code: Failure.Code.stopped
                )
            }
            Console.print(
                isJSON ? DisplayText.json(try jsonText(difference)) : difference.table
            )
            // What differs was printed: there is nothing to say to standard error.
            if !difference.areEqual { throw ExitCode(Failure.Code.failed) }
        }
    }
}

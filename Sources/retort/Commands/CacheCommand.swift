import ArgumentParser
import Cache
import Foundation

/// Looks at caches.
struct CacheCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Look at caches, check and compare them, cut them, put them together.",
        subcommands: [
            Inspect.self, Verify.self, Repair.self, Merge.self, Subset.self, Recompress.self,
            Fidelity.self, Card.self, Diff.self, Export.self,
        ]
    )

    /// Whether a cache is whole.
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check every byte of a cache; exit 65 when something is damaged.",
            discussion: "Example:\n  retort cache verify runs/quickstart/cache"
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func run() throws {
            let result = try CacheVerifier().verify(URL(fileURLWithPath: cache))
            if isJSON {
                Console.print(try jsonText(result))
            } else {
                for problem in result.problems {
                    Console.print(DisplayText.escaped("\(problem)"))
                }
                Console.print(
                    "\(result.filesChecked) files, \(ProgressLine.bytes(result.bytesChecked)): "
                        + (result.isWhole
                            ? "whole"
                            : "\(result.problems.count) "
                                + (result.problems.count == 1 ? "problem" : "problems"))
                )
            }
            guard result.isWhole else {
                throw Failure(
                    "\(cache): damaged; fetch the named files again, or see `retort cache repair --help`",
                    code: Failure.Code.badData
                )
            }
        }
    }
}

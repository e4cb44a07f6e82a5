import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// What can be done about a damaged cache.
    struct Repair: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Drop what is damaged, so that it can be made again; or save the rest.",
            discussion: """
                Damaged files are removed, and the cache counts as unfinished: run the same extraction \
                again, or merge it with another copy, and only they are made or brought. With --salvage \
                nothing of the cache is changed, and every example that can be read in full goes into a new \
                cache; do that first where there is neither teacher nor copy.

                Examples:
                  retort cache repair runs/cache && retort extract --config extract.yaml
                  retort cache repair runs/cache --salvage runs/rest
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Option(help: "The directory of a new cache that gets what can be read.")
        var salvage: String?

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func run() throws {
            let repair = CacheRepair(URL(fileURLWithPath: cache))
            if let salvage { return try save(repair, to: salvage) }
            let outcome = try repair.repair()
            if isJSON {
                Console.print(try jsonText(outcome))
            } else {
                for problem in outcome.problems { Console.print("\(problem)") }
                for name in outcome.rewritten { Console.print("\(name): written anew") }
                for name in outcome.removed {
                    Console.print("\(name): to be made or brought again")
                }
                if outcome.problems.isEmpty { Console.print("\(cache): whole; nothing was done") }
            }
            guard outcome.isWhole else {
                throw Failure(
                    "\(cache): \(outcome.removed.joined(separator: ", ")) missing now. Run the same extraction "
                        + "again, or `retort cache merge \(cache) COPY OUT`",
                    code: Failure.Code.missing
                )
            }
        }

        private func save(_ repair: CacheRepair, to output: String) throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache), unfinished: true)
            let progress = ProgressLine("check", unit: "shards")
            let (places, lost) = try repair.readable(reader) {
                progress.update(Double($0), of: Double($1))
            }
            progress.finish()
            Console.say("\(places.count) examples can be read, \(lost) cannot")
            guard !places.isEmpty else {
                throw Failure("\(cache): nothing can be read", code: Failure.Code.badData)
            }
            let rewriter = try CacheRewriter(reader, places: places)
            try CacheMaking.run(
                "salvage",
                unit: "examples",
                output: output,
                of: [cache],
                asJSON: isJSON,
                rewriter.write
            )
        }
    }
}

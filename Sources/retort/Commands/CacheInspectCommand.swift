import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// What is in a cache.
    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a cache holds, what it costs, and one of its examples.",
            discussion: """
                Sizes come from manifest.json. The lengths of sequences come from \(shardsLookedAt) shards, \
                evenly spread (--all: from every one), and the example from its own; only \
                what is read is checked (`retort cache verify` reads all), and an id is looked for in one shard \
                after the other. --manifest-only opens no shard.

                Examples:
                  retort cache inspect runs/quickstart/cache
                  retort cache inspect runs/quickstart/cache --example 17 --top 10 --json
                """
        )

        /// Shards whose lengths are counted unless all are asked for.
        static let shardsLookedAt = 8

        @Argument(help: "The cache directory.")
        var cache: String

        @Option(help: "The example to show: its id, or its number from 0.")
        var example: String?

        @Option(help: "Likely tokens to show at each position.")
        var top = 5

        @Option(help: "Positions of the example to show.")
        var positions = 8

        @Flag(help: "Count the lengths of every shard.")
        var all = false

        @Flag(help: "Show what manifest.json says, and open no shard.")
        var manifestOnly = false

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            guard (1...1_000).contains(top) else {
                throw ValidationError("--top must be from 1 to 1000.")
            }
            guard (0...1_000_000).contains(positions) else {
                throw ValidationError("--positions must be from 0 to 1000000.")
            }
            guard !manifestOnly || (example == nil && !all) else {
                throw ValidationError("--manifest-only opens no shard: leave out --all, --example.")
            }
        }

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache), unfinished: true)
            if reader.isSnapshot {
                Console.say("\(cache): not finished; this is what its \(reader.shardsInWords) hold")
            }
            var inspection = CacheInspection(summary: CacheSummary(reader.manifest))
            // The summary needs no shard, so it is there even when one of them is damaged.
            if !isJSON { Console.print(inspection.summary.table) }
            if !manifestOnly {
                let progress = ProgressLine("inspect", unit: "shards")
                defer { progress.finish() }
                inspection.lengths = try CacheLengths.read(
                    reader,
                    shards: all ? nil : Self.shardsLookedAt,
                    progress: { progress.update(Double($0), of: Double($1)) },
                    shouldStop: { Signals.shouldStop }
                )
                if inspection.lengths != nil { inspection.example = try found(reader, progress) }
                progress.finish()
            }
            guard !Signals.shouldStop else {
                throw Failure("\(cache): stopped; run it again", code: Failure.Code.stopped)
            }
            if isJSON {
                Console.print(DisplayText.json(try jsonText(inspection)))
            } else {
                for part in [inspection.lengths?.table, inspection.example?.table] {
                    if let part { Console.print("\n" + part) }
                }
            }
        }

        /// The example asked for; without a wish the first, if there is one.
        private func found(_ reader: CacheReader, _ progress: ProgressLine) throws
            -> CacheExample?
        {
            let wanted = example ?? "0"
            let isID = wanted.wholeMatch(of: /[0-9A-Fa-f]{32}/) != nil
            let place =
                isID
                ? try reader.place(
                    ofID: wanted.lowercased(),
                    progress: { progress.update(Double($0), of: Double($1)) },
                    shouldStop: { Signals.shouldStop }
                ) : Int(wanted).flatMap { reader.place(ofExample: $0) }
            if let place {
                return try CacheExample(reader, place, positions: positions, top: top)
            }
            guard let example, !Signals.shouldStop else { return nil }
            guard isID || Int(example) != nil else {
                throw Failure(
                    "--example \(example): neither an id (32 hex digits) nor a number",
                    code: Failure.Code.usage
                )
            }
            let count = reader.manifest.shards.reduce(0) { $0 + $1.records }
            throw Failure(
                "\(cache): no example \(example); there are \(count), numbered from 0",
                code: Failure.Code.missing
            )
        }
    }
}

/// All that `cache inspect` tells, as one JSON object: the summary's fields, `lengths`, `example`.
private struct CacheInspection: Encodable {
    var summary: CacheSummary
    var lengths: CacheLengths?
    var example: CacheExample?

    private enum CodingKeys: String, CodingKey {
        case lengths, example
    }

    func encode(to encoder: any Encoder) throws {
        try summary.encode(to: encoder)
        var more = encoder.container(keyedBy: CodingKeys.self)
        try more.encodeIfPresent(lengths, forKey: .lengths)
        try more.encodeIfPresent(example, forKey: .example)
    }
}

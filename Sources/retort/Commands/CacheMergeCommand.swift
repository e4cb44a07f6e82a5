import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// One cache out of the parts that workers made.
    struct Merge: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put caches, or the parts of one, together; exit 66 while a part is missing.",
            discussion: """
                Parts of one extraction are what workers with outputs of their own made (extract --worker \
                I/N --only-dealt). Finished caches of different data go together when teacher, tokenizer \
                and settings are the same. Files are linked, or copied from other disks, and checked.

                Examples:
                  retort cache merge part-0 part-1 part-2 runs/cache
                  retort cache merge dolly alpaca runs/both
                """
        )

        @Argument(help: "Caches or parts, and last the directory that gets everything.")
        var directories: [String]

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            guard directories.count >= 2 else {
                throw ValidationError("Give at least one part, and last the output.")
            }
        }

        func run() throws {
            let urls = directories.map { URL(fileURLWithPath: $0) }
            let output = directories[directories.count - 1]
            if try CacheMerger.areWholeCaches(Array(urls.dropLast())) {
                let union = try CacheUnion(Array(urls.dropLast()))
                return try CacheMaking.run(
                    "merge",
                    unit: "shards",
                    output: output,
                    of: Array(directories.dropLast()),
                    asJSON: isJSON,
                    union.write
                )
            }
            let merger = try CacheMerger(parts: urls.dropLast(), output: urls[urls.count - 1])
            let progress = ProgressLine("merge", unit: "shards")
            defer { progress.finish() }
            let merged = try merger.merge(
                progress: { progress.update(Double($0), of: Double($1)) },
                shouldStop: { Signals.shouldStop }
            )
            progress.finish()
            guard let merged else {
                throw Failure(
                    "\(output): stopped. Run the same command again to go on",
                    code: Failure.Code.stopped
                )
            }
            if isJSON {
                Console.print(try jsonText(merged))
            } else {
                Console.print(
                    "\(merged.filesAdded) files added; "
                        + (merged.isComplete ? "\(output) is complete" : "\(output) is a part")
                )
            }
            guard merged.isComplete else {
                throw Failure(
                    "\(output): \(Self.words(merged)) missing. Merge again with the parts that have "
                        + "them, or run the extraction with this output: it does what is missing",
                    code: Failure.Code.missing
                )
            }
        }

        /// "shards 3, 7-9 and teacher.h5".
        static func words(_ merged: CacheMerger.Outcome) -> String {
            var ranges: [ClosedRange<Int>] = []
            for shard in merged.missingShards {
                if let last = ranges.last, last.upperBound + 1 == shard {
                    ranges[ranges.count - 1] = last.lowerBound...shard
                } else {
                    ranges.append(shard...shard)
                }
            }
            let texts = ranges.map {
                $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
            }
            var parts: [String] = []
            if !texts.isEmpty { parts.append("shards " + texts.joined(separator: ", ")) }
            if merged.isTeacherMissing { parts.append("teacher.h5") }
            return parts.joined(separator: " and ")
        }
    }
}

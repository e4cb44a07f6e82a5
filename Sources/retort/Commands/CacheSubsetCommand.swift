import ArgumentParser
import Cache
import Foundation

extension CacheCommand {
    /// A part of a cache.
    struct Subset: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write some examples of a cache into a new one.",
            discussion: """
                What is given holds together: --first counts what the other options leave.

                Examples:
                  retort cache subset runs/cache small --split train --first 1000
                  retort cache subset runs/cache short --max-characters 2000 --max-tokens 512
                  retort cache subset runs/cache rest --without small
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Argument(help: "The directory of the new cache.")
        var output: String

        @Option(help: "Only the first so many examples.")
        var first: Int?

        @Option(help: "Only this split; give it as often as needed.")
        var split: [String] = []

        @Option(help: "Only the ids that this file (- for standard input) lists, one a line.")
        var ids: String?

        @Option(help: "Only what this cache does not have.")
        var without: String?

        @Option(help: "At least so many characters of prompt, input and response together.")
        var minCharacters: Int?

        @Option(help: "At most so many characters.")
        var maxCharacters: Int?

        @Option(help: "At most so many tokens.")
        var maxTokens: Int?

        @Flag(name: .customLong("dry-run"), help: "Say how many examples that would be.")
        var isDryRun = false

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            let numbers = [first, minCharacters, maxCharacters, maxTokens].compactMap(\.self)
            guard numbers.allSatisfy({ $0 >= 0 }) else {
                throw ValidationError("Numbers are 0 or more.")
            }
        }

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            if let unknown = split.first(where: { reader.recordCount(split: $0) == 0 }) {
                let names = reader.manifest.splits.keys.sorted().joined(separator: ", ")
                throw Failure(
                    "\(cache): no split '\(unknown)'; the cache has \(names)",
                    code: Failure.Code.usage
                )
            }
            let places = try self.places(reader)
            guard !isDryRun else {
                let all = reader.manifest.shards.reduce(0) { $0 + $1.records }
                Console.print(
                    isJSON
                        ? try jsonText(["examples": places.count, "of": all])
                        : "\(places.count) of \(all) examples"
                )
                return
            }
            guard !places.isEmpty else {
                throw Failure(
                    "\(cache): no example is left; loosen what is asked for",
                    code: Failure.Code.badData
                )
            }
            let rewriter = try CacheRewriter(reader, places: places)
            try CacheMaking.run(
                "subset",
                unit: "examples",
                output: output,
                of: [cache],
                asJSON: isJSON,
                rewriter.write
            )
        }

        private func places(_ reader: CacheReader) throws -> [CacheRewriter.Place] {
            var wanted = try ids.map(Self.listed)
            let unwanted = try without.map { try Self.ids(of: $0) } ?? []
            var result: [CacheRewriter.Place] = []
            for place in CacheRewriter.allPlaces(reader.manifest) {
                if let first, result.count >= first { break }
                let shard = try reader.shard(place.shard)
                let id = shard.ids[place.record]
                guard split.isEmpty || split.contains(shard.splits[place.record]),
                    wanted.map({ $0.contains(id) }) ?? true, !unwanted.contains(id),
                    maxTokens.map({ shard.lengths[place.record] <= $0 }) ?? true,
                    try hasLength(shard, place.record)
                else { continue }
                wanted?.remove(id)
                result.append(place)
            }
            if let left = wanted?.min(), first == nil, split.isEmpty, without == nil,
                maxTokens == nil, minCharacters == nil, maxCharacters == nil
            {
                throw Failure(
                    "\(ids ?? ""): the cache has no example \(left) (and perhaps others)",
                    code: Failure.Code.badData
                )
            }
            return result
        }

        private func hasLength(_ shard: ShardReader, _ record: Int) throws -> Bool {
            guard minCharacters != nil || maxCharacters != nil else { return true }
            let texts = try shard.record(record, hidden: false, logits: false)
            let count = texts.prompt.count + texts.input.count + texts.response.count
            return count >= minCharacters ?? 0 && count <= maxCharacters ?? Int.max
        }

        private static func listed(_ path: String) throws -> Set<String> {
            let lines = try LineReader(path)
            var result: Set<String> = []
            while let line = try lines.next() {
                // Files from Windows have a mark at the start and other line ends.
                let id = String(decoding: line, as: UTF8.self).trimmingCharacters(
                    in: .whitespacesAndNewlines.union(CharacterSet(charactersIn: "\u{FEFF}"))
                )
                guard !id.isEmpty else { continue }
                guard id.count == 32, id.allSatisfy(\.isHexDigit) else {
                    throw Failure(
                        "\(lines.name), line \(lines.number): not an id of 32 hex digits "
                            + "(retort cache inspect shows one)",
                        code: Failure.Code.badData
                    )
                }
                result.insert(id.lowercased())
            }
            return result
        }

        private static func ids(of cache: String) throws -> Set<String> {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            return try (0..<reader.shardCount).reduce(into: []) {
                $0.formUnion(try reader.shard($1).ids)
            }
        }
    }
}

import ArgumentParser
import Cache
import Foundation

extension CacheExporter.Format: ExpressibleByArgument {}

extension CacheCommand {
    /// Examples as files that other tools read.
    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write examples of a cache as safetensors or NumPy files, one for each.",
            discussion: """
                OUT gets examples/ID.safetensors (or a directory examples/ID with an array a file and \
                example.json), and index.jsonl with id, split, file, tokens and rows of each. Arrays have \
                the names that they have in a shard: token_ids, supervised, hidden/final, … (hidden.final.npy); \
                ids are int32. Hidden states keep their type, bf16 too in safetensors (read it with PyTorch \
                or JAX, for NumPy has no bf16); in npy bf16 is written as float32, and int8 always. \
                Texts are in the metadata.

                --with-teacher adds teacher.safetensors (head, embedding/ids, embedding/rows) and the \
                tokenizer's files. A stopped export goes on with the same command.

                Examples:
                  retort cache export runs/quickstart/cache out --format safetensors --with-teacher
                  retort cache export runs/quickstart/cache few --format npy --split held_out --limit 10
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Argument(help: "The directory to fill.")
        var out: String

        @Option(help: "safetensors or npy.")
        var format: CacheExporter.Format

        @Option(help: "Only the examples of a split.")
        var split: String?

        @Option(help: "Only the first so many, in the cache's order.")
        var limit: Int?

        @Option(help: "A file with an id a line, or - for standard input: only those.")
        var ids: String?

        @Flag(help: "The head, the embedding rows and the tokenizer's files as well.")
        var withTeacher = false

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            guard limit ?? 1 > 0 else { throw ValidationError("--limit must be positive.") }
        }

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            try CacheCommand.refuse(out, inside: cache)
            let exporter = try CacheExporter(
                reader,
                to: URL(fileURLWithPath: out),
                .init(
                    format: format,
                    split: split,
                    limit: limit,
                    ids: try ids.map(Self.read),
                    teacher: withTeacher
                )
            )
            if let conflict = try exporter.conflict() {
                throw Failure(
                    "\(out): \(conflict); choose another output, or remove it",
                    code: Failure.Code.outputExists
                )
            }
            let progress = ProgressLine("export", unit: "examples")
            defer { progress.finish() }
            let outcome = try exporter.run(
                progress: { progress.update(Double($0), of: Double($1)) },
                shouldStop: { Signals.shouldStop }
            )
            progress.finish()
            guard let outcome else {
                throw Failure(
                    "\(out): stopped. Run the same command again to go on",
                    code: Failure.Code.stopped
                )
            }
            if isJSON {
                Console.print(try jsonText(outcome))
            } else {
                Console.print(
                    "\(outcome.examples) examples in \(out), \(outcome.written) of them new; "
                        + "\(ProgressLine.bytes(outcome.bytes)) written"
                )
            }
        }

        /// - Throws: `Failure` (65) naming the line that is no id.
        private static func read(_ path: String) throws -> [String] {
            let lines = try LineReader(path)
            var ids: [String] = []
            while let line = try lines.next() {
                let text = String(decoding: line, as: UTF8.self)
                    .trimmingCharacters(in: .whitespacesAndNewlines).lowercased()
                guard !text.isEmpty else { continue }
                guard text.wholeMatch(of: /[0-9a-f]{32}/) != nil else {
                    throw Failure(
                        "\(lines.name):\(lines.number): not an id (32 hex digits): "
                            + DisplayText.shortened(text, to: 60),
                        code: Failure.Code.badData
                    )
                }
                ids.append(text)
            }
            guard !ids.isEmpty else {
                throw Failure("\(lines.name): no ids in it", code: Failure.Code.badData)
            }
            return ids
        }
    }

    /// Refuses an output inside the cache, whose files are listed and hashed.
    ///
    /// - Throws: `Failure` (64).
    static func refuse(_ output: String, inside cache: String) throws {
        func parts(_ path: String) -> [String] {
            URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().pathComponents
        }
        guard parts(output).starts(with: parts(cache)) else { return }
        throw Failure(
            "\(output): inside the cache \(cache); choose another output",
            code: Failure.Code.usage
        )
    }
}

import Cache
import Foundation

/// What the commands that make a cache of others have in common.
enum CacheMaking {
    /// What was made.
    struct Result: Codable {
        var output: String
        var examples: Int
        var shards: Int
        var bytes: Int
    }

    /// Runs `write`, shows how far it is, and prints what was made.
    ///
    /// - Throws: `Failure`: 64 when `output` is one of the inputs or inside it, 73 when something else is
    ///   there, 75 when stopped.
    static func run(
        _ title: String,
        unit: String,
        output: String,
        of inputs: [String],
        asJSON: Bool,
        _ write: (
            _ output: URL,
            _ progress: (_ done: Int, _ of: Int) -> Void,
            _ shouldStop: () -> Bool
        ) throws -> Bool
    ) throws {
        let url = URL(fileURLWithPath: output)
        for input in inputs { try CacheCommand.refuse(output, inside: input) }
        let progress = ProgressLine(title, unit: unit)
        defer { progress.finish() }
        let isDone: Bool
        do {
            isDone = try write(
                url,
                { progress.update(Double($0), of: Double($1)) },
                { Signals.shouldStop }
            )
        } catch let error as CacheError where error.kind == .mismatch && error.path == url.path {
            throw Failure(error.description, code: Failure.Code.outputExists)
        }
        progress.finish()
        guard isDone else {
            throw Failure(
                "\(output): stopped. Run the same command again to go on",
                code: Failure.Code.stopped
            )
        }
        let manifest = try CacheReader(directory: url).manifest
        let result = Result(
            output: output,
            examples: manifest.shards.reduce(0) { $0 + $1.records },
            shards: manifest.shards.count,
            bytes: manifest.files.reduce(0) { $0 + $1.bytes }
        )
        Console.print(
            asJSON
                ? try jsonText(result)
                : "\(output): \(result.examples) examples in \(result.shards) shards, "
                    + ProgressLine.bytes(result.bytes)
        )
    }
}

import Foundation

/// Writes examples of a cache as files of other formats: one for each, in a directory that an
/// interrupted export of the same examples goes on filling.
///
/// The directory has `export.json` (what it is an export of; written first), `examples/`, with
/// `teacher` also `teacher.safetensors` and `tokenizer/`, and at the end `index.jsonl`.
public final class CacheExporter {
    /// What examples are written as.
    public enum Format: String, Codable, Sendable, CaseIterable {
        /// A safetensors file each.
        case safetensors
        /// A directory of NumPy files each.
        case npy
    }

    /// Which examples, and what else.
    public struct Options: Sendable, Equatable {
        /// What examples are written as.
        public var format: Format
        /// Only those of a split; nil: of all.
        public var split: String?
        /// Only the first so many; nil: all.
        public var limit: Int?
        /// Only those with these ids; nil: all.
        public var ids: [String]?
        /// The head, the embedding rows and the tokenizer's files as well.
        public var teacher: Bool

        /// Options of these parts; the default is everything but the teacher.
        public init(
            format: Format,
            split: String? = nil,
            limit: Int? = nil,
            ids: [String]? = nil,
            teacher: Bool = false
        ) {
            self.format = format
            self.split = split
            self.limit = limit
            self.ids = ids
            self.teacher = teacher
        }
    }

    /// What an export did.
    public struct Outcome: Codable, Sendable, Equatable {
        /// Examples that are there now.
        public var examples: Int
        /// Those that this run wrote.
        public var written: Int
        /// Bytes that this run wrote.
        public var bytes: Int
    }

    /// `export.json`: two exports may share a directory when it is equal.
    struct Plan: Codable, Equatable {
        var version = 1
        /// The cache's `contentSHA256`.
        var cache: String
        var format: Format
        var split: String?
        var limit: Int?
        /// SHA-256 of the sorted ids, a line each.
        var idsSHA256: String?
        var teacher: Bool
    }

    /// A line of `index.jsonl`.
    struct IndexLine: Codable, Equatable {
        var id: String
        var split: String
        /// Below the export's directory.
        var file: String
        var tokens: Int
        var rows: Int
    }

    let reader: CacheReader
    let output: URL
    let options: Options
    let plan: Plan
    /// What this run has written.
    var written = Outcome(examples: 0, written: 0, bytes: 0)

    static let planName = "export.json"
    static let indexName = "index.jsonl"
    static let examplesName = "examples"

    /// An export of what `reader` reads into the directory `output`.
    ///
    /// - Throws: `CacheError`: `missing` when the cache has no such split.
    public init(_ reader: CacheReader, to output: URL, _ options: Options) throws {
        self.reader = reader
        self.output = output
        self.options = options
        let splits = reader.manifest.splits.keys.sorted()
        if let split = options.split, !splits.contains(split) {
            throw CacheError(
                .missing,
                path: reader.directory.path,
                "there is no split '\(split)'",
                remedy: "Choose one of: \(splits.joined(separator: ", "))."
            )
        }
        let ids = options.ids.map { Set($0).sorted().joined(separator: "\n") }
        plan = Plan(
            cache: try reader.manifest.contentSHA256(),
            format: options.format,
            split: options.split,
            limit: options.limit,
            idsSHA256: ids.map { sha256(of: Data($0.utf8)) },
            teacher: options.teacher
        )
    }

    /// Why nothing may be written to the directory: what is in it that an export of this plan did
    /// not write; nil when it may.
    ///
    /// - Throws: `CacheError` when the directory cannot be looked at.
    public func conflict() throws -> String? {
        var status = stat()
        guard stat(output.path, &status) == 0 else {
            guard errno == ENOENT else {
                throw CacheError.system(output.path, "look at", code: errno)
            }
            return nil
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return "is not a directory" }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: output.path)
        } catch {
            throw CacheError.system(output.path, "list", code: EACCES)
        }
        guard names.contains(Self.planName) else {
            // A kill before the plan was named leaves nothing but its temporary file.
            let others = names.filter {
                !($0.hasPrefix(".\(Self.planName).") && ExportFolder.isTemporary($0))
            }
            return others.isEmpty ? nil : "the directory is not empty"
        }
        let bytes = try DurableFile.read(output.appendingPathComponent(Self.planName))
        guard let there = try? JSONDecoder().decode(Plan.self, from: Data(bytes)) else {
            return "\(Self.planName) in it is not an export's"
        }
        return there == plan ? nil : "holds an export of \(Self.difference(there, plan))"
    }

    private static func difference(_ there: Plan, _ here: Plan) -> String {
        if there.cache != here.cache { return "another cache" }
        if there.format != here.format { return "another format, \(there.format.rawValue)" }
        return "other examples (split, limit, ids), or with another choice of the teacher"
    }

    /// Writes what is not there yet.
    ///
    /// - Parameters:
    ///   - progress: Told how many examples of how many (at most) are done.
    ///   - shouldStop: Asked before each example.
    /// - Returns: nil when it was stopped; the same call goes on.
    /// - Throws: `CacheError`: `mismatch` where `conflict` has something to say, `corrupt` for a
    ///   damaged cache or ids that it does not have, `diskFull` with the bytes needed.
    public func run(
        progress: (Int, Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Outcome? {
        if let conflict = try conflict() {
            throw CacheError(
                .mismatch,
                path: output.path,
                conflict,
                remedy: "Choose another output."
            )
        }
        guard try checkIDs(shouldStop) else { return nil }
        let lock = try begin()
        defer { close(lock) }
        written = Outcome(examples: 0, written: 0, bytes: 0)
        guard try writeExamples(progress, shouldStop) else { return nil }
        if options.teacher {
            guard !shouldStop() else { return nil }
            try writeTeacher()
        }
        try writeIndex()
        return written
    }

    /// Makes the directories and the plan, and keeps other exports out.
    private func begin() throws -> Int32 {
        do {
            try FileManager.default.createDirectory(
                at: output,
                withIntermediateDirectories: true
            )
        } catch {
            throw CacheError(
                .io,
                path: output.path,
                "cannot be made: \(error.localizedDescription)",
                remedy: "Check the path, its permissions and the free space."
            )
        }
        let descriptor = open(output.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CacheError.system(output.path, "open", code: errno) }
        do {
            // A file system without locks lets it pass: two exports of one plan write the same.
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
                throw CacheError(
                    .io,
                    path: output.path,
                    "another export is writing here",
                    remedy: "Wait for it, or stop it."
                )
            }
            let folder = output.appendingPathComponent(Self.examplesName)
            try ExportFolder.clean(output)
            let plan = output.appendingPathComponent(Self.planName)
            if !FileManager.default.fileExists(atPath: plan.path) {
                try DurableFile.write(try canonicalJSON(self.plan), to: plan)
            }
            try ExportFolder.make(folder)
            try ExportFolder.clean(folder)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }
}

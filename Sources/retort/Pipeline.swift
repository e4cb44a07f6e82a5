import Distill
import Extract
import Foundation

/// A pipeline file: the stages, and the directory that everything they make lies under.
///
/// A file with the stage `simulation` is a `SimulationPipeline` instead.
struct Pipeline {
    /// How the student's starting point is made.
    enum Student: Equatable {
        case new(StudentSettings.New)
        case prune(StudentSettings.Prune)
        case directory(String)
    }

    static let keys = [
        "name", "output", "cache", "seed", "extract", "student", "distill", "eval",
    ]

    let name: String
    let output: String
    let extract: ExtractSettings
    let student: Student
    /// Where every run's student starts.
    let studentDirectory: String
    /// The runs in the order of the file.
    let runs: [(name: String, settings: DistillSettings)]
    let eval: EvalSettings

    /// - Throws: `ConfigurationError` naming file, line and key.
    init(_ file: ConfigurationFile) throws {
        struct Top: Decodable {
            var name: String?
            var output: String
            var cache: String?
            var seed: UInt64?
        }
        let stages = ["extract", "student", "distill", "eval"]
        if case .mapping(let entries, _) = file.root {
            for (key, value) in entries where !Self.keys.contains(key) {
                throw ConfigurationError(
                    place: value.place,
                    message: "unknown key \"\(key)\"",
                    remedy: ConfigurationError.nearest(key, among: Self.keys + ["simulation"]).map {
                        "did you mean \"\($0)\"?"
                    } ?? "known keys: \(Self.keys.joined(separator: ", "))"
                )
            }
        }
        let top = try file.root.without(stages).decode(
            Top.self,
            keys: ["name", "output", "cache", "seed"],
            section: "pipeline"
        )
        func stage(_ name: String) throws -> ConfigurationFile.Value {
            guard let value = file.root[name] else {
                throw ConfigurationError(
                    place: file.path,
                    message: "stage \"\(name)\" is missing",
                    remedy: "see pipelines/quickstart.yaml"
                )
            }
            return value
        }
        name = top.name ?? URL(fileURLWithPath: file.path).deletingPathExtension().lastPathComponent
        output = top.output
        let cache = top.cache ?? "\(top.output)/cache"
        extract = try stage("extract").defaulting("output", to: cache).decode(
            ExtractSettings.self,
            keys: ExtractSettings.CodingKeys.allCases.map(\.rawValue),
            section: "extract"
        )
        student = try Self.student(
            try stage("student"),
            template: extract.template,
            seed: top.seed
        )
        if case .directory(let path) = student {
            studentDirectory = path
        } else {
            studentDirectory = "\(top.output)/student"
        }
        runs = try Self.runs(
            try stage("distill"),
            output: top.output,
            cache: extract.output,
            student: studentDirectory,
            seed: top.seed
        )
        eval = try (file.root["eval"] ?? .mapping([], place: file.path)).decode(
            EvalSettings.self,
            keys: EvalSettings.CodingKeys.allCases.map(\.rawValue),
            section: "eval"
        )
        if case .new(let shape) = student {
            for (name, settings) in runs where settings.maxLength > shape.positions {
                throw ConfigurationError(
                    place: "distill.runs.\(name).max_length",
                    message:
                        "\(settings.maxLength) is beyond the student's \(shape.positions) positions",
                    remedy: "raise student.new.positions, or lower max_length"
                )
            }
        }
        try extract.validate()
        try eval.validate()
        try eval.requireBaseline(among: runs.map(\.name))
    }

    private static func student(
        _ value: ConfigurationFile.Value,
        template: String,
        seed: UInt64?
    ) throws -> Student {
        guard case .mapping(let entries, let place) = value, entries.count == 1,
            let (kind, inner) = entries.first
        else {
            throw ConfigurationError(
                place: value.place,
                message: "\"student\" needs exactly one of new, prune, from",
                remedy: "see pipelines/quickstart.yaml"
            )
        }
        switch kind {
        case "new":
            var settings = try inner.defaulting("template", to: template).decode(
                StudentSettings.New.self,
                keys: StudentSettings.New.CodingKeys.allCases.map(\.rawValue),
                section: "student.new"
            )
            if let given = inner["vocabulary"], settings.tokenizer != nil {
                throw ConfigurationError(
                    place: given.place,
                    message: "\"student.new.vocabulary\" beside a tokenizer that is there",
                    remedy: "leave out vocabulary, or tokenizer to train one"
                )
            }
            if let seed, inner["seed"] == nil { settings.seed = seed }
            try settings.validate()
            return .new(settings)
        case "prune":
            // Width is measured on what the cache holds, unless another sample is named.
            let settings = try inner.decode(
                StudentSettings.Prune.self,
                keys: StudentSettings.Prune.CodingKeys.allCases.map(\.rawValue),
                section: "student.prune"
            )
            try settings.validate()
            return .prune(settings)
        case "from":
            if case .scalar(let path, _, _) = inner { return .directory(path) }
            throw ConfigurationError(
                place: inner.place,
                message: "\"student.from\" is not a path",
                remedy: ""
            )
        default:
            throw ConfigurationError(
                place: place,
                message: "unknown key \"student.\(kind)\"",
                remedy: "known keys: from, new, prune"
            )
        }
    }

    private static func runs(
        _ value: ConfigurationFile.Value,
        output: String,
        cache: String,
        student: String,
        seed: UInt64?
    ) throws -> [(name: String, settings: DistillSettings)] {
        guard case .mapping(let entries, _)? = value["runs"], !entries.isEmpty else {
            throw ConfigurationError(
                place: value.place,
                message: "\"distill.runs\" names no run",
                remedy: "give at least one, such as  runs: {dskd: {criterion: dskd_cma}}"
            )
        }
        var outputs: Set<String> = []
        return try entries.map { name, own in
            guard !name.isEmpty, !["cache", "student"].contains(name),
                name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
            else {
                throw ConfigurationError(
                    place: own.place,
                    message: "the run's name \"\(name)\" is not a plain word",
                    remedy: "use letters, digits, - and _; cache and student are taken"
                )
            }
            let section = "distill.runs.\(name)"
            let merged = value.without(["runs"]).merging(own)
            var settings = try DistillStage.decode(
                merged.defaulting("cache", to: cache)
                    .defaulting("output", to: "\(output)/\(name)"),
                student: student,
                section: section
            )
            if let seed, merged["seed"] == nil { settings.seed = seed }
            try settings.validate()
            guard outputs.insert(settings.output).inserted else {
                throw ConfigurationError(
                    place: own.place,
                    message: "two runs write to \(settings.output)",
                    remedy: "leave out \"output\", or give each run its own"
                )
            }
            return (name, settings)
        }
    }
}

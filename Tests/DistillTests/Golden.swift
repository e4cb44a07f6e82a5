import Cache
import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

/// A safetensors file of reference/criteria.py, read without the module that other code uses.
struct GoldenFile: Sendable {
    private let tensors: [String: (type: String, shape: [Int], range: Range<Int>)]
    private let data: Data
    let metadata: [String: String]

    init(_ name: String) throws {
        let url = try required(
            Bundle.module.url(
                forResource: name,
                withExtension: "safetensors",
                subdirectory: "Fixtures/criteria"
            )
        )
        let data = try Data(contentsOf: url)
        let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = try required(
            JSONSerialization.jsonObject(with: data[8..<(8 + length)]) as? [String: Any]
        )
        var tensors: [String: (String, [Int], Range<Int>)] = [:]
        for (key, value) in header {
            guard key != "__metadata__", let entry = value as? [String: Any],
                let type = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
                let range = entry["data_offsets"] as? [Int]
            else { continue }
            let start = 8 + length
            tensors[key] = (type, shape, (start + range[0])..<(start + range[1]))
        }
        self.tensors = tensors
        self.data = data
        metadata = header["__metadata__"] as? [String: String] ?? [:]
    }

    func has(_ name: String) -> Bool { tensors[name] != nil }

    func names(_ prefix: String) -> [String] {
        tensors.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }

    func shape(_ name: String) throws -> [Int] { try required(tensors[name]).shape }
    func isInteger(_ name: String) -> Bool { tensors[name]?.type == "I64" }

    func numbers(_ name: String) throws -> [Double] {
        let tensor = try required(tensors[name])
        return Data(data[tensor.range]).withUnsafeBytes { raw in
            switch tensor.type {
            case "F32": raw.bindMemory(to: Float.self).map(Double.init)
            case "F64": raw.bindMemory(to: Double.self).map { $0 }
            default: raw.bindMemory(to: Int64.self).map(Double.init)
            }
        }
    }

    func number(_ name: String) throws -> Double { try required(numbers(name).first) }
    func integers(_ name: String) throws -> [Int] { try numbers(name).map { Int($0) } }

    func matrix(_ name: String) throws -> Matrix {
        let shape = try required(tensors[name]).shape
        let values = try numbers(name).map { Float($0) }
        return Matrix(
            values,
            rows: shape.dropLast().reduce(1, *),
            columns: shape.last ?? 1
        )
    }
}

/// One golden case: a batch that many cases share, a criterion and its settings, what comes out.
struct Golden: Sendable, CustomTestStringConvertible {
    let name: String
    let criterion: String
    let settings: [String: String]
    let world: GoldenFile
    var testDescription: String { name }

    /// Losses, gradients and what else is known of every case.
    static let results = try? GoldenFile("cases")

    static let all: [Golden] = {
        struct Entry: Decodable {
            let name: String, world: String, criterion: String
            let settings: [String: String]
        }
        guard let text = results?.metadata["cases"],
            let entries = try? JSONDecoder().decode([Entry].self, from: Data(text.utf8))
        else { return [] }
        var worlds: [String: GoldenFile] = [:]
        for name in Set(entries.map(\.world)) { worlds[name] = try? GoldenFile("world-\(name)") }
        return entries.compactMap { entry in
            worlds[entry.world].map {
                Golden(
                    name: entry.name,
                    criterion: entry.criterion,
                    settings: entry.settings,
                    world: $0
                )
            }
        }
    }()

    static func named(_ name: String) throws -> Golden {
        try required(all.first { $0.name == name })
    }

    /// Names of what is known of it below a prefix: `loss`, `grad`, `info`.
    func known(_ kind: String) -> [String] { Self.results?.names("\(name)/\(kind)/") ?? [] }

    func numbers(_ key: String) throws -> [Double] {
        try required(Self.results).numbers("\(name)/\(key)")
    }

    func side(_ name: String) throws -> SupervisedRows {
        let hidden = try world.matrix("\(name)/hidden")
        let labels = try world.integers("\(name)/labels").map { UInt32($0) }
        let inputs = try world.integers("\(name)/input_ids").map { UInt32($0) }
        return SupervisedRows(
            hidden: hidden,
            inputs: inputs,
            labels: labels,
            offsets: try world.integers("\(name)/offsets")
        )
    }

    /// Parsed as `--set` would: by the settings of a run.
    func criterionSettings() throws -> CriterionSettings {
        var object: [String: Any] = [
            "cache": "c", "output": "o", "student": ["from": "s"], "criterion": criterion,
        ]
        var projectors: [String: String] = [:]
        for (key, value) in settings where !key.hasSuffix("_cap") {
            if key.hasPrefix("projectors.") {
                projectors[String(key.dropFirst("projectors.".count))] = value
            } else if let flag = Bool(value) {
                object[key] = flag
            } else if let whole = Int(value) {
                object[key] = whole
            } else if let number = Double(value) {
                object[key] = number
            } else {
                object[key] = value
            }
        }
        object["projectors"] = projectors
        let data = try JSONSerialization.data(withJSONObject: object)
        let decoded = try JSONDecoder().decode(DistillSettings.self, from: data)
        return try decoded.criterionSettings(for: CriterionRegistry.type(criterion))
    }

    func texts() throws -> VocabularyTexts? {
        struct Vocabulary: Decodable {
            let student: [String], teacher: [String]
            let studentEnd: UInt32?, teacherEnd: UInt32?

            enum CodingKeys: String, CodingKey {
                case student, teacher
                case studentEnd = "student_eos"
                case teacherEnd = "teacher_eos"
            }
        }
        guard let text = world.metadata["vocabulary"] else { return nil }
        let found = try JSONDecoder().decode(Vocabulary.self, from: Data(text.utf8))
        return VocabularyTexts(
            student: TokenTexts(strings: found.student, endOfSequence: found.studentEnd),
            teacher: TokenTexts(strings: found.teacher, endOfSequence: found.teacherEnd)
        )
    }

    func teacherRows(_ signal: TeacherSignal) throws -> TeacherRows {
        switch signal {
        case .exact:
            return .exact
        case .full:
            return .full(try world.matrix("teacher/full_logprobs"))
        case .topK:
            let logProbs = try world.matrix("teacher/topk_logprobs")
            return .topK(
                ids: try world.integers("teacher/topk_ids").map { UInt32($0) },
                logProbs: logProbs.values,
                k: logProbs.columns
            )
        case .sampled:
            return .sampled(
                SampledTokens(
                    offsets: try world.integers("teacher/sample_offsets"),
                    ids: try world.integers("teacher/sample_ids").map { UInt32($0) },
                    counts: try world.integers("teacher/sample_counts").map { UInt16($0) }
                )
            )
        }
    }
}

extension Case {
    convenience init(_ golden: Golden, compute: ComputeType = .f32) throws {
        let type = try CriterionRegistry.type(golden.criterion)
        let student = try golden.side("student")
        let teacher = try golden.side("teacher")
        let settings = try golden.criterionSettings()
        let world = golden.world
        let criterion = try type.init(
            CriterionContext(
                settings: settings,
                sizes: CriterionSizes(
                    student: student.hidden.columns,
                    teacher: teacher.hidden.columns
                ),
                seed: 1,
                texts: try golden.texts()
            )
        )
        let head = try world.matrix("student/head")
        let teacherHead = try world.matrix("teacher/head")
        try self.init(
            criterion: criterion,
            batch: CriterionBatch(
                student: student,
                teacher: teacher,
                teacherRows: try golden.teacherRows(settings.teacherSignal)
            ),
            head: head,
            studentEmbedding: world.has("student/embedding")
                ? try world.matrix("student/embedding") : head,
            teacherHead: teacherHead,
            teacherEmbedding: world.has("teacher/embedding")
                ? try world.matrix("teacher/embedding") : teacherHead,
            studentCap: golden.settings["student_cap"].flatMap(Float.init),
            teacherCap: golden.settings["teacher_cap"].flatMap(Float.init),
            compute: compute,
            prepares: true
        )
        for parameter in criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            guard world.has("projectors/\(key)") else { continue }
            parameter.value.assign(try world.matrix("projectors/\(key)"))
        }
    }
}

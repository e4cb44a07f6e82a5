import Foundation
import Tensors

@testable import Distill
@testable import Models

/// One golden case of reference/criterion_goldens.py, read without the module that other code uses.
struct Golden {
    let criterion: String
    let divergence: String
    private let tensors: [String: (type: String, shape: [Int], bytes: Data)]

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
        var tensors: [String: (String, [Int], Data)] = [:]
        for (key, value) in header {
            guard key != "__metadata__", let entry = value as? [String: Any],
                let type = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
                let range = entry["data_offsets"] as? [Int]
            else { continue }
            let start = 8 + length
            tensors[key] = (type, shape, Data(data[(start + range[0])..<(start + range[1])]))
        }
        self.tensors = tensors
        let metadata = header["__metadata__"] as? [String: String]
        let words = (metadata?["case"] ?? "").split(separator: " ").map(String.init)
        criterion = words[0]
        divergence = words[1]
    }

    func has(_ name: String) -> Bool { tensors[name] != nil }

    func numbers(_ name: String) throws -> [Double] {
        let tensor = try required(tensors[name])
        return tensor.bytes.withUnsafeBytes { raw in
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

    func side(_ name: String) throws -> SupervisedRows {
        let hidden = try matrix("\(name)/hidden")
        let labels = try integers("\(name)/labels").map { UInt32($0) }
        let inputs =
            has("\(name)/input_ids")
            ? try integers("\(name)/input_ids").map { UInt32($0) }
            : [UInt32](repeating: 0, count: labels.count)
        return SupervisedRows(
            hidden: hidden,
            inputs: inputs,
            labels: labels,
            offsets: try integers("\(name)/offsets")
        )
    }

    func settings() throws -> CriterionSettings {
        CriterionSettings(
            kdRate: Float(try number("settings/kd_rate")),
            temperature: Float(try number("settings/temperature")),
            teacherTemperature: Float(try number("settings/teacher_temperature")),
            divergence: Divergence(rawValue: divergence) ?? .forwardKL
        )
    }
}

struct MissingValue: Error {}

/// `#require` outside of a test body.
func required<T>(_ value: T?) throws -> T {
    guard let value else { throw MissingValue() }
    return value
}

/// The derivative along a random direction, by central differences.
func slope(
    of loss: () throws -> Double,
    along values: Matrix,
    gradient: [Float]
) throws -> (numeric: Double, analytic: Double) {
    var random = RandomNumbers(seed: 9, purpose: "direction")
    let direction = (0..<values.count).map { _ in random.normal() }
    let start = values.values
    func shifted(_ step: Float) throws -> Double {
        for i in 0..<values.count { values.base[i] = start[i] + step * direction[i] }
        return try loss()
    }
    let step: Float = 2e-3
    let numeric = try (shifted(step) - shifted(-step)) / (2 * Double(step))
    _ = try shifted(0)
    let analytic = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    return (numeric, analytic)
}

/// A criterion with everything that it needs, small enough to look at every number.
final class Case {
    let criterion: any Criterion
    let batch: CriterionBatch
    let head: Parameter
    let models: CriterionModels
    var engine = HeadLoss()

    init(
        criterion: any Criterion,
        batch: CriterionBatch,
        head: Matrix,
        studentEmbedding: Matrix,
        teacherHead: Matrix,
        teacherEmbedding: Matrix,
        studentCap: Float? = nil,
        teacherCap: Float? = nil,
        compute: ComputeType = .f32
    ) {
        self.criterion = criterion
        self.batch = batch
        self.head = Parameter(
            name: "head",
            shape: [head.rows, head.columns],
            value: head.copied()
        )
        self.head.prepareGradient()
        models = CriterionModels(
            studentHead: HeadProduct(self.head, softCap: studentCap, compute: compute),
            studentEmbedding: studentEmbedding,
            teacherHead: HeadProduct(
                frozen: teacherHead,
                softCap: teacherCap,
                compute: compute
            ),
            teacherEmbedding: EmbeddingRows(all: teacherEmbedding)
        )
    }

    /// Gradients by name, all of them new.
    func gradients(
        of batches: [CriterionBatch]? = nil
    ) throws -> (sums: CriterionSums, gradients: [String: [Float]]) {
        let batches = batches ?? [batch]
        head.gradient?.fill(0)
        for parameter in criterion.projectors.flatMap(\.parameters) { parameter.gradient?.fill(0) }
        let step = try criterion.statistics(of: batches, models: models)
        var sums = CriterionSums()
        var hidden: [Float] = []
        for batch in batches {
            let dHidden = Matrix(
                uninitialized: batch.student.count,
                batch.student.hidden.columns
            )
            sums.add(
                try criterion.evaluate(
                    batch,
                    models: models,
                    step: step,
                    engine: engine,
                    dHidden: dHidden
                )
            )
            hidden += dHidden.values
        }
        var gradients = ["student/hidden": hidden, "student/head": head.gradient?.values ?? []]
        for parameter in criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            gradients["projectors/\(key)"] = parameter.gradient?.values ?? []
        }
        return (sums, gradients)
    }

    /// The mean total loss, without gradients.
    func loss(part: String = "total") throws -> Double {
        let step = try criterion.statistics(of: [batch], models: models)
        let sums = try criterion.evaluate(
            batch,
            models: models,
            step: step,
            engine: engine,
            dHidden: nil
        )
        return sums.means[part] ?? .nan
    }
}

extension Case {
    convenience init(_ golden: Golden) throws {
        let type = try CriterionRegistry.type(golden.criterion)
        let student = try golden.side("student")
        let teacher = try golden.side("teacher")
        let criterion = type.init(
            settings: try golden.settings(),
            sizes: CriterionSizes(
                student: student.hidden.columns,
                teacher: teacher.hidden.columns
            ),
            seed: 1
        )
        for parameter in criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            parameter.value.assign(try golden.matrix("projectors/\(key)"))
        }
        let head = try golden.matrix("student/head")
        let teacherHead = try golden.matrix("teacher/head")
        self.init(
            criterion: criterion,
            batch: CriterionBatch(student: student, teacher: teacher),
            head: head,
            studentEmbedding: golden.has("student/embedding")
                ? try golden.matrix("student/embedding") : head,
            teacherHead: teacherHead,
            teacherEmbedding: golden.has("teacher/embedding")
                ? try golden.matrix("teacher/embedding") : teacherHead,
            studentCap: golden.has("settings/student_cap")
                ? Float(try golden.number("settings/student_cap")) : nil,
            teacherCap: golden.has("settings/teacher_cap")
                ? Float(try golden.number("settings/teacher_cap")) : nil
        )
    }
}

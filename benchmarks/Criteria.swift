import CKernels
import Distill
import Foundation
import Models
import Tensors

/// What benchmarks/criteria.py asks for: one criterion at one size.
struct CriterionRequest: Decodable {
    /// The name of a criterion in settings files.
    var criterion: String
    /// Supervised positions of the student and of the teacher, in `examples` examples of equal length.
    var n = 2_048
    var m = 2_048
    var examples = 16
    /// d and D.
    var studentWidth = 768
    var teacherWidth = 576
    /// V_s and V_t.
    var studentVocabulary = 50_257
    var teacherVocabulary = 49_152
    var compute = ComputeType.f32
    var settings: CriterionSettings?
    /// MiB that the logits of a chunk of rows may take.
    var headMemory = 64

    private enum CodingKeys: String, CodingKey {
        case criterion, n, m, examples, compute, settings
        case studentWidth = "d"
        case teacherWidth = "D"
        case studentVocabulary = "V_s"
        case teacherVocabulary = "V_t"
        case headMemory = "head_memory"
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        criterion = try values.decode(String.self, forKey: .criterion)
        func number(_ key: CodingKeys, _ target: inout Int) throws {
            target = try values.decodeIfPresent(Int.self, forKey: key) ?? target
        }
        try number(.n, &n)
        try number(.m, &m)
        try number(.examples, &examples)
        try number(.studentWidth, &studentWidth)
        try number(.teacherWidth, &teacherWidth)
        try number(.studentVocabulary, &studentVocabulary)
        try number(.teacherVocabulary, &teacherVocabulary)
        try number(.headMemory, &headMemory)
        compute = try values.decodeIfPresent(ComputeType.self, forKey: .compute) ?? compute
        settings = try values.decodeIfPresent(CriterionSettings.self, forKey: .settings)
    }
}

/// The Retort side of benchmarks/criteria.py: `benchmarks criteria REQUEST.json`.
///
/// Makes random tensors, then runs forward and backward once for every line that it reads, and answers
/// with the seconds, the largest memory during the call beyond what there was once the tensors and the
/// gradients' room were made, and the losses.
func serveCriteria(_ arguments: [String]) throws {
    guard arguments.count == 1 else {
        print("usage: benchmarks criteria '{\"criterion\": \"dskd_cma\", ...}', see criteria.py")
        exit(64)
    }
    let request = try JSONDecoder().decode(CriterionRequest.self, from: Data(arguments[0].utf8))
    // As training does: every step makes the same matrices anew.
    ck_set_kept_memory(256 << 20)
    let inputs = CriterionInputs(request)
    answer(["plain": plainProduct(request.compute)])
    let bench = try CriterionBench(request, inputs)
    while readLine() != nil { answer(try bench.run()) }
}

private func answer(_ numbers: [String: Double]) {
    let line = (try? JSONEncoder().encode(numbers)) ?? Data()
    FileHandle.standardOutput.write(line + [0x0A])
}

/// Operations a second of the best of some products of 2,048 cubed.
private func plainProduct(_ compute: ComputeType) -> Double {
    let size = 2_048
    let weights = PackedWeights(randomMatrix(size, size), compute: compute)
    let (x, out) = (randomMatrix(size, size), Matrix(zeros: size, size))
    return 2 * pow(Double(size), 3) / seconds(6) { weights.multiply(x, into: out) }
}

/// Random tensors of one batch and of both models' weights.
struct CriterionInputs {
    let batch: CriterionBatch
    let head: Parameter
    let studentEmbedding: Matrix, teacherHead: Matrix, teacherEmbedding: Matrix

    init(_ request: CriterionRequest) {
        func rows(_ count: Int, _ width: Int, _ vocabulary: Int, _ name: String) -> SupervisedRows {
            var random = RandomNumbers(seed: 1, purpose: "\(name) tokens")
            func tokens() -> [UInt32] {
                (0..<count).map { _ in UInt32(random.next() % UInt64(vocabulary)) }
            }
            return SupervisedRows(
                hidden: normal(count, width, deviation: 1, name),
                inputs: tokens(),
                labels: tokens(),
                offsets: (0...request.examples).map { $0 * count / request.examples }
            )
        }
        let (d, teacherWidth) = (request.studentWidth, request.teacherWidth)
        let (vs, vt) = (request.studentVocabulary, request.teacherVocabulary)
        // Labels that both vocabularies have, for criteria that need one.
        batch = CriterionBatch(
            student: rows(request.n, d, min(vs, vt), "student"),
            teacher: rows(request.m, teacherWidth, min(vs, vt), "teacher")
        )
        head = Parameter(
            name: "head",
            shape: [vs, d],
            value: normal(vs, d, deviation: 0.05, "student head")
        )
        head.prepareGradient()
        studentEmbedding = normal(vs, d, deviation: 0.05, "student embedding")
        teacherHead = normal(vt, teacherWidth, deviation: 0.05, "teacher head")
        teacherEmbedding = normal(vt, teacherWidth, deviation: 0.05, "teacher embedding")
    }
}

/// One criterion, called again and again on the same numbers.
final class CriterionBench {
    private let inputs: CriterionInputs
    private let criterion: any Criterion
    private let models: CriterionModels
    private let engine: HeadLoss
    private let dHidden: Matrix
    /// Resident bytes before the heads were packed.
    private let baseline: Int
    private var calls = 0

    init(_ request: CriterionRequest, _ inputs: CriterionInputs) throws {
        self.inputs = inputs
        let settings = request.settings ?? CriterionSettings()
        criterion = try CriterionRegistry.type(request.criterion).init(
            settings: settings,
            sizes: CriterionSizes(student: request.studentWidth, teacher: request.teacherWidth),
            seed: 1
        )
        dHidden = Matrix(zeros: request.n, request.studentWidth)
        engine = HeadLoss(memoryLimit: request.headMemory << 20)
        ck_release_free_memory()
        resetPeakResidentBytes()
        baseline = peakResidentBytes()
        models = CriterionModels(
            studentHead: HeadProduct(inputs.head, softCap: nil, compute: request.compute),
            studentEmbedding: inputs.studentEmbedding,
            teacherHead: HeadProduct(
                frozen: inputs.teacherHead,
                softCap: nil,
                compute: request.compute
            ),
            teacherEmbedding: EmbeddingRows(all: inputs.teacherEmbedding)
        )
    }

    /// Losses and gradients once; the student's head is packed anew, as after an optimiser step.
    func run() throws -> [String: Double] {
        inputs.head.gradient?.fill(0)
        for parameter in criterion.projectors.flatMap(\.parameters) { parameter.gradient?.fill(0) }
        // The first call's peak includes packing.
        if calls > 0 { resetPeakResidentBytes() }
        calls += 1
        let start = Date()
        models.studentHead.refresh()
        let step = try criterion.statistics(of: [inputs.batch], models: models)
        let sums = try criterion.evaluate(
            inputs.batch,
            models: models,
            step: step,
            engine: engine,
            dHidden: dHidden
        )
        var numbers = sums.means
        numbers["seconds"] = Date().timeIntervalSince(start)
        numbers["extra"] = Double(peakResidentBytes() - baseline)
        return numbers
    }
}

private func normal(_ rows: Int, _ columns: Int, deviation: Float, _ name: String) -> Matrix {
    let matrix = Matrix(uninitialized: rows, columns)
    parallelRanges(rows) { range, worker in
        var random = RandomNumbers(seed: 1, purpose: name, counter: UInt64(worker))
        matrix.slice(rows: range).fillNormal(deviation: deviation, using: &random)
    }
    return matrix
}

/// Sets VmHWM to what is resident now.
private func resetPeakResidentBytes() {
    let path = "/proc/self/clear_refs"
    guard let file = FileHandle(forWritingAtPath: path) else { return }
    file.write(Data("5".utf8))
    try? file.close()
}

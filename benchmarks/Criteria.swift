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
    var divergence = Divergence.forwardKL
    /// The teacher's distribution is known at so many tokens; 0 for its states times its head.
    var topK = 0
    /// MiB that the logits of a chunk of rows may take.
    var headMemory = 64

    private enum CodingKeys: String, CodingKey {
        case criterion, n, m, examples, compute, divergence
        case studentWidth = "d"
        case teacherWidth = "D"
        case studentVocabulary = "V_s"
        case teacherVocabulary = "V_t"
        case topK = "topk"
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
        try number(.topK, &topK)
        try number(.headMemory, &headMemory)
        compute = try values.decodeIfPresent(ComputeType.self, forKey: .compute) ?? compute
        divergence =
            try values.decodeIfPresent(Divergence.self, forKey: .divergence) ?? divergence
    }
}

/// The Retort side of benchmarks/criteria.py: `benchmarks criteria REQUEST.json`.
///
/// Makes random tensors, then runs forward and backward once for every line that it reads, and answers
/// with the seconds, processor seconds, the largest memory during the call beyond what there was once the
/// tensors and the gradients' room were made, and the losses.
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

func answer(_ numbers: [String: Double]) {
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
    let teacherHead: Matrix
    let teacherEmbedding: EmbeddingRows
    /// The label of every other position, where the projected teacher can be told to predict it.
    static let commonLabel = 7

    init(_ request: CriterionRequest) {
        let (vs, vt) = (request.studentVocabulary, request.teacherVocabulary)
        head = Parameter(
            name: "head",
            shape: [vs, request.studentWidth],
            value: normal(vs, request.studentWidth, deviation: 0.05, "student head")
        )
        head.prepareGradient()
        teacherHead = normal(vt, request.teacherWidth, deviation: 0.05, "teacher head")
        // Tokens that both vocabularies have, the same on both sides.
        var random = RandomNumbers(seed: 1, purpose: "tokens")
        let tokens = (0...max(request.n, request.m)).map { position in
            position % 2 == 0
                ? UInt32(Self.commonLabel) : UInt32(random.next() % UInt64(min(vs, vt)))
        }
        func rows(_ count: Int, _ width: Int, _ name: String) -> SupervisedRows {
            SupervisedRows(
                hidden: normal(count, width, deviation: 1, name),
                inputs: Array(tokens[..<count]),
                labels: Array(tokens[1...count]),
                offsets: (0...request.examples).map { $0 * count / request.examples }
            )
        }
        let teacher = rows(request.m, request.teacherWidth, "teacher")
        batch = CriterionBatch(
            student: rows(request.n, request.studentWidth, "student"),
            teacher: teacher,
            teacherRows: request.topK > 0 ? Self.topK(request, &random) : .exact
        )
        let ids = Array(Set(tokens)).sorted()
        teacherEmbedding = EmbeddingRows(
            ids: ids,
            rows: normal(ids.count, request.teacherWidth, deviation: 0.05, "teacher embedding")
        )
    }

    /// k different tokens a row, which have nine tenths of the mass.
    private static func topK(
        _ request: CriterionRequest,
        _ random: inout RandomNumbers
    ) -> TeacherRows {
        let k = request.topK
        let size = min(request.studentVocabulary, request.teacherVocabulary)
        let masses = (1...k).map { 1 / Float($0) }
        let sum = masses.reduce(0, +)
        var ids: [UInt32] = []
        for _ in 0..<request.m {
            let start = Int(random.next() % UInt64(size))
            ids += (0..<k).map { UInt32((start + $0 * (size / k)) % size) }
        }
        let logs = masses.map { log(0.9 * $0 / sum) }
        return .topK(ids: ids, logProbs: (0..<request.m).flatMap { _ in logs }, k: k)
    }
}

/// One criterion, called again and again on the same numbers.
final class CriterionBench {
    private let inputs: CriterionInputs
    private let criterion: any Criterion
    private let models: CriterionModels
    private let engine: HeadLoss
    private let gradients: StateGradients
    /// Resident bytes before the heads were packed.
    private let baseline: Int
    private var calls = 0

    init(_ request: CriterionRequest, _ inputs: CriterionInputs) throws {
        self.inputs = inputs
        let type = try CriterionRegistry.type(request.criterion)
        var settings = CriterionSettings(divergence: request.divergence)
        if request.topK > 0 { settings.teacherSignal = .topK }
        // t2s_kd of dskd_v2 counts everywhere: two random heads agree nowhere.
        settings.agreement = -1
        criterion = try type.init(
            CriterionContext(
                settings: settings,
                sizes: CriterionSizes(student: request.studentWidth, teacher: request.teacherWidth),
                seed: 1,
                texts: type.needs.contains(.texts) ? Self.texts(request) : nil
            )
        )
        gradients = StateGradients(hidden: Matrix(zeros: request.n, request.studentWidth))
        engine = HeadLoss(memoryLimit: request.headMemory << 20)
        ck_release_free_memory()
        resetPeakResidentBytes()
        baseline = peakResidentBytes()
        models = CriterionModels(
            studentHead: HeadProduct(inputs.head, softCap: nil, compute: request.compute),
            studentEmbedding: inputs.head.value,
            teacherHead: HeadProduct(
                frozen: inputs.teacherHead,
                softCap: nil,
                compute: request.compute
            ),
            teacherEmbedding: inputs.teacherEmbedding
        )
        try criterion.prepare(models)
        if request.criterion == "dskd_cma" { openGate(request) }
    }

    /// Token i has the same text on both sides; what one side has more of repeats the other's.
    private static func texts(_ request: CriterionRequest) -> VocabularyTexts {
        let (vs, vt) = (request.studentVocabulary, request.teacherVocabulary)
        func texts(_ count: Int) -> TokenTexts {
            let strings = (0..<count).map { " w\($0 % min(vs, vt))" }
            return TokenTexts(strings: strings, endOfSequence: nil)
        }
        return VocabularyTexts(student: texts(vs), teacher: texts(vt))
    }

    /// Makes the projected teacher predict the label of half of the positions: elsewhere t2s_kd is
    /// not computed.
    private func openGate(_ request: CriterionRequest) {
        let parameters = criterion.projectors.flatMap(\.parameters)
        guard let bias = parameters.first(where: { $0.name == "t2s.bias" }) else { return }
        let row = inputs.head.value.row(CriterionInputs.commonLabel)
        for i in 0..<request.studentWidth { bias.value.base[i] += 10 * row[i] }
    }

    /// Losses and gradients once; the student's head is packed anew, as after an optimiser step.
    func run() throws -> [String: Double] {
        inputs.head.gradient?.fill(0)
        for parameter in criterion.projectors.flatMap(\.parameters) { parameter.gradient?.fill(0) }
        // The first call's peak includes packing.
        if calls > 0 { resetPeakResidentBytes() }
        calls += 1
        let (faults, cpu) = (pageFaults(), processorSeconds())
        let start = Date()
        models.studentHead.refresh()
        let step = try criterion.statistics(of: [inputs.batch], models: models, engine: engine)
        let sums = try criterion.evaluate(
            inputs.batch,
            at: 0,
            models: models,
            step: step,
            engine: engine,
            gradients: gradients
        )
        var numbers = sums.means
        numbers["seconds"] = Date().timeIntervalSince(start)
        numbers["cpu"] = processorSeconds() - cpu
        numbers["extra"] = Double(peakResidentBytes() - baseline)
        numbers["faults"] = Double(pageFaults() - faults)
        return numbers
    }
}

/// Page faults of this process so far, without reads from disk.
private func pageFaults() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_minflt
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

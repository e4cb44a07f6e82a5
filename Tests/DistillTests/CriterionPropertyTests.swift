import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("What must hold of criteria")
struct CriterionPropertyTests {
    /// Random sizes of a small batch with several examples of unequal length.
    static func makeCase(
        _ name: String,
        divergence: Divergence = .forwardKL,
        seed: UInt64 = 5,
        studentCap: Float? = nil,
        teacherCap: Float? = nil
    ) throws -> Case {
        let type = try CriterionRegistry.type(name)
        let pairs = type.needs.contains(.pairedPositions)
        var random = RandomNumbers(seed: seed, purpose: "case")
        func normal(_ rows: Int, _ columns: Int, _ deviation: Float) -> Matrix {
            let matrix = Matrix(uninitialized: rows, columns)
            matrix.fillNormal(deviation: deviation, using: &random)
            return matrix
        }
        let (d, wide, vocabulary, teacherVocabulary) = (6, 9, 19, pairs ? 19 : 23)
        func side(_ lengths: [Int], _ width: Int, _ vocabulary: Int) -> SupervisedRows {
            let count = lengths.reduce(0, +)
            func ids() -> [UInt32] {
                (0..<count).map { _ in UInt32(random.next() % UInt64(vocabulary)) }
            }
            return SupervisedRows(
                hidden: normal(count, width, 1),
                inputs: ids(),
                labels: ids(),
                offsets: lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
            )
        }
        let student = side([4, 1, 5, 3], d, vocabulary)
        let teacher = side(
            pairs ? [4, 1, 5, 3] : [3, 2, 6, 4],
            wide,
            teacherVocabulary
        )
        return try Case(
            criterion: try type.init(
                CriterionContext(
                    settings: CriterionSettings(divergence: divergence),
                    sizes: CriterionSizes(student: d, teacher: wide),
                    seed: seed
                )
            ),
            batch: CriterionBatch(student: student, teacher: teacher),
            head: normal(vocabulary, d, 0.7),
            studentEmbedding: normal(vocabulary, d, 0.7),
            teacherHead: normal(teacherVocabulary, wide, 0.7),
            teacherEmbedding: normal(teacherVocabulary, wide, 0.7),
            studentCap: studentCap,
            teacherCap: teacherCap
        )
    }

    static let learning = ["kd", "dskd", "dskd_cma"].flatMap { name in
        Divergence.allCases.filter { $0 != .adaptiveKL }.map { (name, $0) }
    }

    @Test("the gradient by the student's states is the slope of the loss", arguments: learning)
    func hiddenGradient(name: String, divergence: Divergence) throws {
        let test = try Self.makeCase(name, divergence: divergence)
        let gradient = try required(test.gradients().gradients["student/hidden"])
        let (numeric, analytic) = try slope(
            of: { try test.loss() },
            along: test.batch.student.hidden,
            gradient: gradient
        )
        #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)))
    }

    @Test("the gradients of the projectors are slopes of t2s_ce + s2t_kd", arguments: learning)
    func projectorGradients(name: String, divergence: Divergence) throws {
        let test = try Self.makeCase(name, divergence: divergence)
        let gradients = try test.gradients().gradients
        for parameter in test.criterion.projectors.flatMap(\.parameters) {
            let key = parameter.name.replacingOccurrences(of: ".", with: "/")
            let (numeric, analytic) = try slope(
                of: { try 0.5 * (test.loss(part: "t2s_ce") + test.loss(part: "s2t_kd")) },
                along: parameter.value,
                gradient: try required(gradients["projectors/\(key)"])
            )
            #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)), "\(key)")
        }
    }

    @Test("the gradient of the student's head under cross-entropy is its slope")
    func headGradient() throws {
        for name in ["sft", "kd"] {
            let test = try Self.makeCase(name)
            let gradient = try required(test.gradients().gradients["student/head"])
            let (numeric, analytic) = try slope(
                of: { try test.loss() },
                along: test.head.value,
                gradient: gradient
            )
            #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)), "\(name)")
        }
    }

    @Test("heads of different padded sizes are cut to the smaller in kd", arguments: [17, 24])
    func paddedHeads(rows: Int) throws {
        let made = try Self.makeCase("kd")
        var random = RandomNumbers(seed: 2, purpose: "padded")
        let teacherHead = Matrix(uninitialized: rows, 9)
        teacherHead.fillNormal(deviation: 0.7, using: &random)
        let test = try Case(
            criterion: made.criterion,
            batch: made.batch,
            head: made.head.value,
            studentEmbedding: made.head.value,
            teacherHead: teacherHead,
            teacherEmbedding: teacherHead
        )
        let gradients = try test.gradients().gradients
        for (key, values) in [
            ("student/hidden", test.batch.student.hidden), ("student/head", test.head.value),
        ] {
            let (numeric, analytic) = try slope(
                of: { try test.loss() },
                along: values,
                gradient: try required(gradients[key])
            )
            #expect(abs(numeric - analytic) < 3e-4 * max(1, abs(numeric)), "\(key)")
        }
    }

    @Test(
        "a student that is its teacher has no distance to it, however much of it is stored",
        arguments: TopKTail.allCases,
        [Float(0.5), 1, 2, 300]
    )
    func perfect(tail: TopKTail, temperature: Float) throws {
        let made = try Self.makeCase("kd")
        let (head, states) = (made.head.value, made.batch.student.hidden)
        let logits = Matrix(uninitialized: states.rows, head.rows)
        multiply(states, head, transposeB: true, into: logits)
        for k in [3, head.rows] {
            // Cut to its likeliest tokens without a tail, the target is another distribution.
            if tail == .renormalise, k < head.rows { continue }
            var (ids, logs): ([UInt32], [Float]) = ([], [])
            for row in 0..<logits.rows {
                let values = (0..<head.rows).map { Double(logits[row, $0]) }
                let partition = log(values.reduce(0) { $0 + exp($1) })
                let order = values.indices.sorted { values[$0] > values[$1] }.prefix(k)
                ids += order.map { UInt32($0) }
                logs += order.map { Float(values[$0] - partition) }
            }
            var settings = CriterionSettings(kdRate: 1, temperature: temperature)
            (settings.teacherSignal, settings.topKTail) = (.topK, tail)
            var batch = made.batch
            batch.teacherRows = .topK(ids: ids, logProbs: logs, k: k)
            let test = try Case(
                criterion: try KnowledgeDistillation(
                    CriterionContext(
                        settings: settings,
                        sizes: CriterionSizes(student: 1, teacher: 1),
                        seed: 0
                    )
                ),
                batch: batch,
                head: head,
                studentEmbedding: head,
                teacherHead: head,
                teacherEmbedding: head
            )
            #expect(abs(try test.loss()) < 2e-6, "\(k)")
        }
    }

    @Test("each part of the loss moves what it should and nothing else")
    func audit() throws {
        let expected: [(WritableKeyPath<DualSpaceWeights, Float>, Set<String>)] = [
            (\.crossEntropy, ["student/hidden", "student/head"]),
            (\.targetCrossEntropy, ["t2s", "query"]),
            (\.targetDivergence, ["student/hidden", "student/head"]),
            (\.teacherDivergence, ["student/hidden", "s2t", "query"]),
        ]
        for name in ["dskd", "dskd_cma"] {
            for (part, moved) in expected {
                let test = try openCase(name)
                var weights = DualSpaceWeights(CriterionSettings())
                for path in expected.map(\.0) { weights[keyPath: path] = 0 }
                weights[keyPath: part] = 1
                (test.criterion as? DualSpace)?.weights = weights
                (test.criterion as? CrossModelDualSpace)?.weights = weights
                let embedding = test.models.studentEmbedding.values
                let teacherHead = test.models.teacherHead.weight.values
                var found: Set<String> = []
                for (key, gradient) in try test.gradients().gradients
                where gradient.contains(where: { $0 != 0 }) {
                    let parts = key.split(separator: "/").map(String.init)
                    found.insert(parts[0] == "projectors" ? parts[1] : key)
                }
                let want = name == "dskd" ? moved.subtracting(["query"]) : moved
                #expect(found == want, "\(name): \(part) moves \(found.sorted())")
                #expect(test.models.studentEmbedding.values == embedding)
                #expect(test.models.teacherHead.weight.values == teacherHead)
                #expect(test.models.teacherHead.gradient == nil)
            }
        }
    }

    /// The first seed with a position that passes the gate.
    private func openCase(_ name: String) throws -> Case {
        for seed in 0..<1000 {
            let test = try Self.makeCase(name, seed: UInt64(seed))
            if try test.gradients().sums.values["t2s_gate"] ?? 1 > 0 { return test }
        }
        throw MissingValue(what: "a seed")
    }

    @Test("both attention matrices sum to one over the other side of the same example")
    func attentionRows() throws {
        let test = try Self.makeCase("dskd_cma")
        let attention = CrossModelAttention(
            queries: test.batch.student.hidden,
            keys: test.batch.teacher.hidden.slice(columns: 0..<6),
            scale: 0.7,
            queryOffsets: test.batch.student.offsets,
            keyOffsets: test.batch.teacher.offsets
        )
        for example in 0..<4 {
            let (rows, columns) = attention.probabilities(example: example)
            let n = test.batch.student.offsets[example + 1] - test.batch.student.offsets[example]
            let m = test.batch.teacher.offsets[example + 1] - test.batch.teacher.offsets[example]
            #expect(
                rows.rows == n && rows.columns == m && columns.rows == m && columns.columns == n
            )
            for matrix in [rows, columns] {
                for r in 0..<matrix.rows {
                    let sum = matrix.slice(rows: r..<(r + 1)).values.reduce(0, +)
                    #expect(abs(sum - 1) < 1e-5)
                }
            }
        }
    }

    @Test("equal models and identity projectors leave cross-entropy alone")
    func identity() throws {
        let made = try Self.makeCase("dskd")
        let criterion = try DualSpace(
            CriterionContext(
                settings: CriterionSettings(),
                sizes: CriterionSizes(student: 6, teacher: 6),
                seed: 1
            )
        )
        for projector in criterion.projectors {
            for parameter in projector.parameters { parameter.value.fill(0) }
            let weight = try required(projector.weight)
            for i in 0..<6 { weight.value[i, i] = 1 }
        }
        let test = try Case(
            criterion: criterion,
            batch: CriterionBatch(student: made.batch.student, teacher: made.batch.student),
            head: made.head.value,
            studentEmbedding: made.head.value,
            teacherHead: made.head.value,
            teacherEmbedding: made.head.value
        )
        let means = try test.gradients().sums.means
        #expect(abs(means["t2s_kd"] ?? 1) < 1e-6 && abs(means["s2t_kd"] ?? 1) < 1e-6)
        #expect(abs((means["t2s_ce"] ?? 0) - (means["ce"] ?? 1)) < 1e-6)
    }

    @Test(
        "cutting a step into micro-batches changes neither losses nor gradients",
        arguments: [
            "sft", "kd", "dskd", "dskd_cma", "dskd_v2", "uld", "hidden_mse", "hidden_cosine",
        ]
    )
    func microBatches(name: String) throws {
        let test = try Self.makeCase(name)
        let whole = try test.gradients()
        let cut = try test.gradients(of: [slice(test.batch, 0..<1), slice(test.batch, 1..<4)])
        compare(whole, cut, rows: 1)
    }

    @Test("criteria that read texts do not see how a step is cut either")
    func microBatchesOfTexts() throws {
        for name in [
            "dskd_v2_eta-eta-label_smoothing=0.1", "min_edit-eta-given", "min_edit-warped",
        ] {
            let golden = try #require(
                Golden.all.first { $0.name == name || $0.name.hasPrefix("\(name)-") }
            )
            let test = try Case(golden)
            let whole = try test.gradients()
            let count = test.batch.student.offsets.count - 1
            #expect(count > 1 && whole.sums.values["kd"] ?? 0 > 0, "\(name)")
            let cut = try test.gradients(
                of: (0..<count).map { slice(test.batch, $0..<($0 + 1)) }
            )
            compare(whole, cut, rows: 1)
        }
    }

    @Test("gradients by the student's states are slopes of the loss, for every golden batch")
    func slopes() throws {
        // Where the loss has no kink within the step: not adaptive_kl, nor a gate that flips.
        var seen: Set<String> = []
        for golden in Golden.all where golden.settings["divergence"] != "adaptive_kl" {
            let key =
                "\(golden.criterion) \(golden.settings["divergence"] ?? "") "
                + "\(golden.settings["teacher_signal"] ?? "") \(golden.settings["topk_tail"] ?? "")"
            guard !golden.name.contains("peaked"), seen.insert(key).inserted else { continue }
            let test = try Case(golden)
            let gradient = try required(test.gradients().gradients["student/hidden"])
            let (numeric, analytic) = try slope(
                of: { try test.loss() },
                along: test.batch.student.hidden,
                gradient: gradient
            )
            #expect(abs(numeric - analytic) < 2e-3 * max(1, abs(numeric)), "\(golden)")
        }
        #expect(seen.count > 40)
    }

    @Test(
        "a batch taken twice has the losses and gradients of one",
        arguments: ["sft", "kd", "dskd"]
    )
    func duplicates(name: String) throws {
        let test = try Self.makeCase(name)
        let one = try test.gradients()
        let two = try test.gradients(of: [test.batch, test.batch])
        for (part, mean) in one.sums.means {
            #expect(abs(mean - (two.sums.means[part] ?? .nan)) < 1e-6)
        }
        for (key, gradient) in one.gradients where key != "student/hidden" {
            for (a, b) in zip(gradient, two.gradients[key] ?? []) { #expect(abs(a - b) < 1e-6) }
        }
    }

    @Test("a token without an embedding row is an error that names it")
    func missingRow() throws {
        let test = try Self.makeCase("dskd_cma")
        var models = test.models
        models.teacherEmbedding = EmbeddingRows(
            ids: [0],
            rows: test.models.teacherEmbedding.rows.slice(rows: 0..<1)
        )
        #expect(throws: DistillError.self) {
            try test.criterion.statistics(
                of: [test.batch],
                models: models,
                engine: test.engine
            )
        }
    }

    @Test("bfloat16 heads give the losses to their precision")
    func bfloat16() throws {
        let test = try Self.makeCase("dskd_cma")
        let rounded = try Case(
            criterion: test.criterion,
            batch: test.batch,
            head: test.head.value,
            studentEmbedding: test.models.studentEmbedding,
            teacherHead: test.models.teacherHead.weight,
            teacherEmbedding: test.models.teacherEmbedding.rows,
            compute: .bf16
        )
        let exact = try test.gradients()
        // In one chunk, and a few rows at a time.
        for memoryLimit in [64 << 20, 2_000] {
            rounded.engine = HeadLoss(memoryLimit: memoryLimit)
            let close = try rounded.gradients()
            for part in ["ce", "t2s_ce", "s2t_kd"] {
                let want = exact.sums.means[part] ?? .nan
                #expect(abs((close.sums.means[part] ?? 0) - want) < 0.02 * max(1, want))
            }
            for key in ["student/head", "student/hidden"] {
                let (a, b) = (exact.gradients[key] ?? [], close.gradients[key] ?? [])
                let off = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                let size = a.reduce(0) { $0 + $1 * $1 }
                #expect(size > 0 && off.squareRoot() < 0.02 * size.squareRoot(), "\(key)")
            }
        }
    }

    private func compare(
        _ a: (sums: CriterionSums, gradients: [String: [Float]]),
        _ b: (sums: CriterionSums, gradients: [String: [Float]]),
        rows: Int
    ) {
        for (part, value) in a.sums.values {
            #expect(abs(value - (b.sums.values[part] ?? .nan)) < 1e-5, "\(part)")
        }
        for (key, gradient) in a.gradients {
            for (x, y) in zip(gradient, b.gradients[key] ?? []) {
                #expect(abs(x - y) < 1e-6, "\(key)")
            }
        }
    }

    private func slice(_ batch: CriterionBatch, _ examples: Range<Int>) -> CriterionBatch {
        func cut(_ side: SupervisedRows) -> SupervisedRows {
            let range = side.offsets[examples.lowerBound]..<side.offsets[examples.upperBound]
            return SupervisedRows(
                hidden: side.hidden.slice(rows: range),
                inputs: Array(side.inputs[range]),
                labels: Array(side.labels[range]),
                offsets: side.offsets[examples.lowerBound...examples.upperBound].map {
                    $0 - range.lowerBound
                }
            )
        }
        return CriterionBatch(student: cut(batch.student), teacher: cut(batch.teacher))
    }
}

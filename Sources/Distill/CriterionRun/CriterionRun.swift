import Cache
import Models
import Tensors

/// A criterion on given tensors, outside of any training.
public enum CriterionRun {
    /// Evaluates a criterion and its gradients.
    ///
    /// - Parameters:
    ///   - name: A name of `CriterionRegistry`.
    ///   - compute: The precision of the head products.
    ///   - headMemory: Bytes for one chunk of logits.
    /// - Throws: `DistillError.unknownName`; `CacheError.mismatch` naming what the input lacks; what the
    ///   criterion throws.
    public static func evaluate(
        _ name: String,
        settings: CriterionSettings,
        on input: CriterionInput,
        compute: ComputeType = .f32,
        headMemory: Int = 64 << 20
    ) throws -> CriterionResult {
        let type = try CriterionRegistry.type(name)
        func need<T>(_ value: T?, _ array: String) throws -> T {
            try input.require(value, array, for: name)
        }
        let (hidden, needs) = (try need(input.student.hidden, "student/hidden"), type.needs)
        let embeds = needs.contains(.embedding)
        let readsInputs = embeds || needs.contains(.texts)
        // The same that a run would read of a cache.
        let isExact = needs.contains(.distribution) && settings.teacherSignal == .exact
        let readsHidden = needs.contains(.hiddenStates) || isExact
        let teacher = needs.isEmpty ? nil : try need(input.teacher, "teacher/offsets")
        let teacherHidden =
            readsHidden ? try need(teacher?.hidden, "teacher/hidden") : nil
        let teacherHead =
            needs.contains(.head) || isExact ? try need(teacher?.head, "teacher/head") : nil
        try requireFinalStates(settings, name, input.path)
        let criterion = try type.init(
            CriterionContext(
                settings: settings,
                sizes: CriterionSizes(
                    student: hidden.columns,
                    teacher: teacherHidden?.columns ?? 1
                ),
                seed: 1,
                texts: needs.contains(.texts) ? try texts(input, for: name) : nil
            )
        )
        let weight = try need(input.student.head, "student/head")
        let head = Parameter(name: "head", shape: [weight.rows, weight.columns], value: weight)
        head.prepareGradient()
        let nothing = Matrix(zeros: 1, 1)
        let models = CriterionModels(
            studentHead: HeadProduct(head, softCap: input.student.softCap, compute: compute),
            studentEmbedding: embeds
                ? try need(input.student.embedding, "student/embedding") : weight,
            teacherHead: HeadProduct(
                frozen: teacherHead ?? nothing,
                softCap: teacher?.softCap,
                compute: compute
            ),
            teacherEmbedding: EmbeddingRows(
                all: embeds ? try need(teacher?.embedding, "teacher/embedding") : nothing
            )
        )
        criterion.prepare(models)
        try assign(input, to: criterion, name)
        let batch = CriterionBatch(
            student: try rows(input.student, "student", hidden, readsInputs, true, need),
            teacher: try teacher.map {
                try rows(
                    $0,
                    "teacher",
                    teacherHidden ?? Matrix(zeros: $0.count, 0),
                    readsInputs,
                    readsInputs,
                    need
                )
            }
                ?? SupervisedRows(
                    hidden: Matrix(zeros: 0, 1),
                    inputs: [],
                    labels: [],
                    offsets: input.student.offsets.map { _ in 0 }
                ),
            teacherRows: needs.contains(.distribution)
                ? try teacherRows(input, settings.teacherSignal, for: name) : .exact
        )
        let engine = HeadLoss(memoryLimit: headMemory)
        let dHidden = Matrix(uninitialized: hidden.rows, hidden.columns)
        let sums = try criterion.evaluate(
            batch,
            at: 0,
            models: models,
            step: try criterion.statistics(of: [batch], models: models, engine: engine),
            engine: engine,
            gradients: StateGradients(hidden: dHidden)
        )
        return result(sums, dHidden, [("student/head", head)] + parts(of: criterion))
    }

    /// A file holds the final states alone.
    private static func requireFinalStates(
        _ settings: CriterionSettings,
        _ name: String,
        _ path: String
    ) throws {
        guard settings.layers.contains(where: { $0.student != nil || $0.teacher != nil }) else {
            return
        }
        throw CriterionFile.wrong(
            path,
            "\(name) is asked for layers, and a file holds final states alone",
            "Leave layers out, or put the layer's states into student/hidden and teacher/hidden."
        )
    }

    private static func texts(
        _ input: CriterionInput,
        for name: String
    ) throws -> VocabularyTexts {
        func texts(
            _ vocabulary: CriterionInput.Vocabulary?,
            _ side: String,
            _ rows: Int?
        ) throws -> TokenTexts {
            let found = try input.require(vocabulary, "vocabulary/\(side)", for: name)
            let count = rows ?? found.texts.count
            // Rows of a padded head that no token has.
            let padding = [String](repeating: "", count: max(0, count - found.texts.count))
            return TokenTexts(strings: found.texts + padding, endOfSequence: found.eos)
        }
        return VocabularyTexts(
            student: try texts(input.studentVocabulary, "student", input.student.head?.rows),
            teacher: try texts(
                input.teacherVocabulary,
                "teacher",
                input.teacher?.head?.rows ?? input.signals.fullLogProbs?.columns
            )
        )
    }

    private static func teacherRows(
        _ input: CriterionInput,
        _ signal: TeacherSignal,
        for name: String
    ) throws -> TeacherRows {
        let signals = input.signals
        func need<T>(_ value: T?, _ array: String) throws -> T {
            try input.require(value, array, for: "\(name) with teacher_signal=\(signal.rawValue)")
        }
        switch signal {
        case .exact:
            return .exact
        case .full:
            return .full(finite(try need(signals.fullLogProbs, "teacher/full_logprobs")))
        case .topK:
            let logProbs = try need(signals.topKLogProbs, "teacher/topk_logprobs")
            return .topK(
                ids: try need(signals.topKIDs, "teacher/topk_ids"),
                logProbs: finite(logProbs).values,
                k: logProbs.columns
            )
        case .sampled:
            let counts = try need(signals.sampleCounts, "teacher/sample_counts")
            if let large = counts.first(where: { $0 > UInt16.max }) {
                throw CriterionFile.wrong(
                    input.path,
                    "'teacher/sample_counts' has \(large)",
                    "Counts go up to 65,535."
                )
            }
            return .sampled(
                SampledTokens(
                    offsets: try need(signals.sampleOffsets, "teacher/sample_offsets"),
                    ids: try need(signals.sampleIDs, "teacher/sample_ids"),
                    counts: counts.map { UInt16($0) }
                )
            )
        }
    }

    /// A probability of 0 becomes one that float32 takes for 0, so that 0 times its logarithm is 0.
    private static func finite(_ logProbs: Matrix) -> Matrix {
        let values = logProbs.values.map { max($0, -1e4) }
        return Matrix(values, rows: logProbs.rows, columns: logProbs.columns)
    }

    /// The parameters of a criterion's projectors under the names that files use.
    private static func parts(of criterion: any Criterion) -> [(String, Parameter)] {
        criterion.projectors.flatMap(\.parameters).map {
            ("projectors/\($0.name.replacing(".", with: "/"))", $0)
        }
    }

    /// Sets every projector from the input: what a run draws at its start would be no comparison.
    ///
    /// One that is computed from the heads may be left out.
    private static func assign(
        _ input: CriterionInput,
        to criterion: any Criterion,
        _ name: String
    ) throws {
        let isComputed = criterion is DualSpaceV2 || criterion is DualSpaceV2Eta
        for (array, parameter) in parts(of: criterion) {
            let key = String(array.dropFirst("projectors/".count))
            if isComputed, input.projectors[key] == nil { continue }
            let part = try input.require(input.projectors[key], array, for: name)
            guard part.shape == parameter.shape else {
                throw CriterionFile.wrong(
                    input.path,
                    "'\(array)' has shape \(part.shape), not \(parameter.shape)",
                    CriterionFile.layout
                )
            }
            parameter.value.assign(part.value)
        }
    }

    private static func rows(
        _ side: CriterionInput.Side,
        _ name: String,
        _ hidden: Matrix,
        _ readsInputs: Bool,
        _ readsLabels: Bool,
        _ need: ([UInt32]?, String) throws -> [UInt32]
    ) throws -> SupervisedRows {
        let none = [UInt32](repeating: 0, count: side.count)
        return SupervisedRows(
            hidden: hidden,
            inputs: readsInputs ? try need(side.inputs, "\(name)/input_ids") : none,
            labels: readsLabels ? try need(side.labels, "\(name)/labels") : none,
            offsets: side.offsets
        )
    }

    private static func result(
        _ sums: CriterionSums,
        _ dHidden: Matrix,
        _ parameters: [(String, Parameter)]
    ) -> CriterionResult {
        let losses = ["ce", "t2s_ce", "t2s_kd", "s2t_kd", "kd", "total"]
        var gradients = [
            "student/hidden": CriterionResult.Gradient(
                shape: [dHidden.rows, dHidden.columns],
                value: dHidden
            )
        ]
        for (name, parameter) in parameters {
            guard let gradient = parameter.gradient else { continue }
            gradients[name] = .init(shape: parameter.shape, value: gradient)
        }
        return CriterionResult(
            losses: sums.means.filter { losses.contains($0.key) },
            gradients: gradients
        )
    }
}

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
    /// - Throws: `DistillError.unknownName` and `.badSetting`; `CacheError.mismatch` naming the input, and what
    ///   it lacks or what does not fit.
    public static func evaluate(
        _ name: String,
        settings: CriterionSettings,
        on input: CriterionInput,
        compute: ComputeType = .f32,
        headMemory: Int = 64 << 20
    ) throws -> CriterionResult {
        do {
            return try evaluated(name, settings, input, compute, headMemory)
        } catch let error as DistillError {
            switch error {
            case .badSetting, .unknownName: throw error
            default: throw CriterionFile.wrong(input.path, error.description, CriterionFile.layout)
            }
        }
    }

    private static func evaluated(
        _ name: String,
        _ settings: CriterionSettings,
        _ input: CriterionInput,
        _ compute: ComputeType,
        _ headMemory: Int
    ) throws -> CriterionResult {
        let type = try CriterionRegistry.type(name)
        func need<T>(_ value: T?, _ array: String) throws -> T {
            try input.require(value, array, for: name)
        }
        let hidden = try need(input.student.hidden, "student/hidden")
        // The same that a run would read of a cache.
        let needs = type.needs.with(settings.teacherSignal)
        let embeds = needs.contains(.embedding)
        let readsInputs = type.needs.readsInputs
        let teacher = needs.isEmpty ? nil : try need(input.teacher, "teacher/offsets")
        let teacherHidden =
            needs.contains(.hiddenStates) ? try need(teacher?.hidden, "teacher/hidden") : nil
        let teacherHead = needs.contains(.head) ? try need(teacher?.head, "teacher/head") : nil
        // Checks as well that the file has as many rows as its offsets say.
        let known =
            needs.contains(.distribution)
            ? try teacherRows(input, settings, for: name) : TeacherRows.exact
        try requirePairsFit(input, needs)
        try requireFinalStates(settings, name, input.path)
        let criterion = try type.init(
            CriterionContext(
                settings: settings,
                sizes: CriterionSizes(
                    student: hidden.columns,
                    teacher: teacherHidden?.columns ?? 1
                ),
                seed: 1,
                texts: needs.contains(.texts) ? try texts(input, for: name) : nil,
                // A map between the spaces is no larger than a head, but in the smallest of files.
                mostNumbers: max(input.largestArray, 1 << 24)
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
        try criterion.prepare(models)
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
            teacherRows: known
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

    /// A table of an example's positions by the other side's is held whole.
    private static func requirePairsFit(_ input: CriterionInput, _ needs: CriterionNeeds) throws {
        guard needs.readsInputs, let teacher = input.teacher else { return }
        let ends = zip(input.student.offsets, teacher.offsets)
        for (example, (start, end)) in zip(ends, ends.dropFirst()).enumerated() {
            let (cells, overflow) = (end.0 - start.0).multipliedReportingOverflow(
                by: end.1 - start.1
            )
            guard overflow || cells > mostPairs else { continue }
            throw CriterionFile.wrong(
                input.path,
                "example \(example) has \(end.0 - start.0) positions of the student and "
                    + "\(end.1 - start.1) of the teacher, whose table is beyond \(mostPairs) cells",
                "Give shorter examples."
            )
        }
    }

    /// 16,384 positions of each side.
    private static let mostPairs = 1 << 28

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
                input.teacher?.head?.rows ?? input.teacher?.embedding?.rows
                    ?? input.signals.fullLogProbs?.columns
            )
        )
    }

    private static func teacherRows(
        _ input: CriterionInput,
        _ settings: CriterionSettings,
        for name: String
    ) throws -> TeacherRows {
        let (signals, signal) = (input.signals, settings.teacherSignal)
        func need<T>(_ value: T?, _ array: String) throws -> T {
            try input.require(value, array, for: "\(name) with teacher_signal=\(signal.rawValue)")
        }
        switch signal {
        case .exact:
            return .exact
        case .full:
            let logProbs = try need(signals.fullLogProbs, "teacher/full_logprobs")
            let isInfinite = [.reverseKL, .adaptiveKL].contains(settings.divergence)
            if isInfinite, logProbs.values.contains(-.infinity) {
                throw CriterionFile.wrong(
                    input.path,
                    "'teacher/full_logprobs' has -inf, where \(settings.divergence.rawValue) is infinite",
                    "Use another divergence, or log-probabilities that are finite."
                )
            }
            return .full(finite(logProbs, settings))
        case .topK:
            let logProbs = try need(signals.topKLogProbs, "teacher/topk_logprobs")
            return .topK(
                ids: try need(signals.topKIDs, "teacher/topk_ids"),
                logProbs: finite(logProbs, settings).values,
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
    private static func finite(_ logProbs: Matrix, _ settings: CriterionSettings) -> Matrix {
        // What is left of it after tempering.
        let least = -1e4 * max(1, settings.temperature)
        let values = logProbs.values.map { max($0, least) }
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
        let isComputed = type(of: criterion).preparesProjectors
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

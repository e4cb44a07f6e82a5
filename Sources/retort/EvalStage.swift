import Cache
import Distill
import Extract
import Foundation
import Models
import Tensors
import Tokenizers

/// What `eval:` sets.
struct EvalSettings: Codable, Equatable {
    /// The split of the cache to measure on.
    var split = "held_out"
    /// Only its first examples; nil takes all.
    var limit: Int?
    /// Whether the prompts are answered, for ROUGE-L.
    var generate = true
    /// Most tokens of an answer.
    var maxNewTokens = 128
    /// Of the sampling; 0 is greedy.
    var temperature: Float = 0
    /// Of the sampling.
    var seed: UInt64 = 10
    /// The name of the model that the others are compared with, example by example; nil for none.
    var baseline: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case split, limit, generate, temperature, seed, baseline
        case maxNewTokens = "max_new_tokens"
    }

    init() {}

    init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        func set<T: Decodable>(_ key: CodingKeys, _ value: inout T) throws {
            value = try c.decodeIfPresent(T.self, forKey: key) ?? value
        }
        limit = try c.decodeIfPresent(Int.self, forKey: .limit)
        baseline = try c.decodeIfPresent(String.self, forKey: .baseline)
        try set(.split, &split)
        try set(.generate, &generate)
        try set(.maxNewTokens, &maxNewTokens)
        try set(.temperature, &temperature)
        try set(.seed, &seed)
    }

    /// - Throws: `ConfigurationError` for a baseline that is none of the models.
    func requireBaseline(among names: [String]) throws {
        guard let baseline, !names.contains(baseline) else { return }
        throw ConfigurationError(
            place: "eval.baseline",
            message: "\"\(baseline)\" is none of the models",
            remedy: "they are \(names.joined(separator: ", "))"
        )
    }

    func validate() throws {
        guard limit ?? 1 > 0, (1...1_000_000).contains(maxNewTokens), temperature >= 0 else {
            throw ConfigurationError(
                place: "eval",
                message: "limit and max_new_tokens must be positive, temperature not "
                    + "negative",
                remedy: ""
            )
        }
    }
}

/// Evaluation with its words, for `eval` and `run`.
enum EvalStage {
    /// Measures models on a cache; what is already in `output` for the same inputs is taken as it is.
    ///
    /// - Parameters:
    ///   - models: A name and a Hugging Face directory each.
    ///   - replace: Whether files at `output` that are no earlier measurement may be written over.
    static func run(
        cache: String,
        models: [(name: String, path: String)],
        settings: EvalSettings,
        output: URL?,
        replace: Bool
    ) throws -> EvalFile {
        try settings.validate()
        try settings.requireBaseline(among: models.map(\.name))
        let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
        var inputs = try inputs(reader, models, settings)
        inputs["figures"] = figuresVersion
        if let output {
            let known = EvalFile.read(output)
            if let known, known.inputs == inputs, known.isWhole(at: output) {
                Console.say("eval: \(output.path) is up to date")
                return known
            }
            // Before an hour of measuring: there must be a place for the result.
            for file in [output] + EvalFile.beside(output) {
                try OutputFile.check(file.path, replace: replace || known != nil)
            }
            if known != nil {
                Console.say("eval: \(output.path) is of other models or settings, and is made anew")
            }
        }
        var options = Evaluator.Options()
        options.split = settings.split
        options.limit = settings.limit
        options.batchExamples = 64
        let evaluator = try Evaluator(
            reader,
            teacherTokenizer: try Evaluator.teacherTokenizer(of: reader),
            options: options
        )
        Console.say("eval: teacher, from the cache")
        let (teacher, seen) = try evaluator.evaluateTeacher()
        var (examples, maps) = (seen, EvalMaps())
        var found: [Evaluator.Evaluation] = []
        for (name, path) in models {
            Console.say("eval: \(name)")
            try stopIfAsked()
            let (model, tokenizer) = try ModelLoading.load(path)
            let template = try PromptTemplate.named(
                DistillSettings.resolved(ofStudentAt: path)?.template
                    ?? reader.manifest.description.template
            )
            var one = try evaluator.evaluate(
                name,
                model: model,
                tokenizer: tokenizer,
                template: template.name,
                generate: settings.generate
                    ? { try answer($0, model, tokenizer, template, settings) } : nil
            )
            var map = EvalMaps.Model()
            map.similarity = one.maps
            if let alignment = AlignmentEval(studentAt: path, cache: reader, settings) {
                map.alignments = try alignment.run(model, tokenizer, into: &one)
            }
            maps.models[name] = map
            for index in examples.indices {
                examples[index].models[name] = one.examples[examples[index].id]
            }
            found.append(one)
        }
        let reports = [teacher] + compared(found, with: settings.baseline)
        let file = EvalFile(inputs: inputs, reports: reports)
        for report in reports where report.cut + report.dropped > 0 {
            Console.say(
                "eval: \(report.name): \(report.cut) examples cut to the limits, \(report.dropped) "
                    + "left out"
            )
        }
        guard let output else { return file }
        do {
            return try file.write(to: output, examples, maps)
        } catch {
            Console.print(EvalTable(reports).text)
            throw error
        }
    }

    /// What `eval.json` has figures of: one of an older version is made anew.
    private static let figuresVersion = "5"

    /// The reports, each with what it differs in from the baseline's.
    private static func compared(
        _ found: [Evaluator.Evaluation],
        with baseline: String?
    ) -> [EvalReport] {
        guard let baseline, let base = found.first(where: { $0.report.name == baseline }) else {
            return found.map(\.report)
        }
        return found.map { one in
            var report = one.report
            guard report.name != baseline else { return report }
            report.baseline = baseline
            report.differences = one.shares.differences(from: base.shares)
            return report
        }
    }

    static func stopIfAsked() throws {
        guard Signals.shouldStop else { return }
        throw Failure(
            "eval: stopped; run the same command again",
            code: Failure.Code.stopped
        )
    }

    private static func answer(
        _ prompts: [EvalPrompt],
        _ model: TransformerModel,
        _ tokenizer: Tokenizer,
        _ template: PromptTemplate,
        _ settings: EvalSettings
    ) throws -> [String] {
        try stopIfAsked()
        let options = SamplingOptions(
            temperature: settings.temperature,
            maxNewTokens: settings.maxNewTokens,
            seed: settings.seed
        )
        let answers = try StudentAnswers(model, tokenizer, template: template)(
            prompts,
            options: options,
            check: { ModelLoading.warn($0, tooLongFor: model) },
            shouldStop: { Signals.shouldStop }
        )
        try stopIfAsked()
        return answers
    }

    private static func inputs(
        _ reader: CacheReader,
        _ models: [(name: String, path: String)],
        _ settings: EvalSettings
    ) throws -> [String: String] {
        var inputs = ["cache": reader.contentSHA256, "settings": try jsonText(settings)]
        for (name, path) in models {
            let url = URL(fileURLWithPath: path)
            inputs["model \(name)"] = try weightsFingerprint(url)
            if let run = DistillSettings.resolved(ofStudentAt: path) {
                inputs["template \(name)"] = run.template
                let projectors = run.finished(in: url.deletingLastPathComponent().path)
                    .projectorsFrom.map { URL(fileURLWithPath: $0) }
                inputs["projectors \(name)"] = projectors.flatMap { try? sha256(of: $0) }
            }
            inputs["tokenizer \(name)"] = try Tokenizer(Checkpoint(url)).fingerprint
        }
        return inputs
    }
}

import Cache
import Foundation
import Models
import Tensors
import Tokenizers

/// - Throws: `DistillError.badSetting` unless the condition holds.
func require(_ holds: Bool, _ key: String, _ value: String, _ remedy: String) throws {
    if !holds { throw DistillError.badSetting(key: key, value: value, remedy: remedy) }
}

/// - Throws: `DistillError.unknownName`, with the nearest name.
func requireName(_ name: String, among names: [String], kind: String) throws {
    guard !names.contains(name) else { return }
    throw DistillError.unknownName(
        kind: kind,
        name: name,
        nearest: nearestName(to: name, among: names)
    )
}

extension DistillSettings {
    /// Refuses what makes no sense, before anything is loaded.
    ///
    /// - Throws: `DistillError.badSetting` or `.unknownName`, with the key and the remedy.
    public func validate() throws {
        let type = try CriterionRegistry.type(criterion)
        _ = try criterionSettings(for: type)
        try requireName(schedule, among: Schedule.allCases.map(\.rawValue), kind: "schedule")
        try require(
            decaySteps == nil || schedule == Schedule.wsd.rawValue,
            "decay_steps",
            "\(decaySteps ?? 0) with schedule \(schedule)",
            "only schedule: wsd has them; leave it out"
        )
        if let template {
            try requireName(template, among: PromptTemplate.names, kind: "prompt template")
        }
        try requireName(bestBy, among: BestBy.allCases.map(\.rawValue), kind: "best_by")
        try requireName(export, among: Export.allCases.map(\.rawValue), kind: "export")
        try require(
            keepBest == 0 || bestBy != BestBy.rougeL.rawValue || evalGenerate > 0,
            "best_by",
            "rouge_l without answers",
            "give eval_generate the number of held-out prompts to answer, such as 64"
        )
        try require(
            export != Export.best.rawValue || keepBest > 0,
            "export",
            "best with keep_best 0",
            "give keep_best: 1, and eval_every the steps between evaluations"
        )
        try require(
            steps == nil || epochs == nil,
            "steps",
            "both steps and epochs",
            "give one (--set steps=null leaves out a file's)"
        )
        for (key, value) in [("steps", steps ?? 1), ("epochs", epochs ?? 1)] {
            try require(
                (1...Self.longestRun).contains(value),
                key,
                "\(value)",
                "give 1 to 1,000,000,000"
            )
        }
        for (key, value) in [
            ("batch_examples", batchExamples), ("accumulate", accumulate),
            ("max_prompt_length", maxPromptLength), ("keep_checkpoints", keepCheckpoints),
            ("head_memory_mib", headMemoryMiB), ("loader_memory_mib", loaderMemoryMiB),
            ("shuffle_window", shuffleWindow ?? 1), ("skip_patience", skipPatience),
            ("decay_steps", decaySteps ?? 1), ("batch_tokens", batchTokens ?? 1),
            ("max_new_tokens", maxNewTokens), ("pass_tokens", passTokens),
            ("lora.rank", lora?.rank ?? 1),
        ] {
            try require(
                (1...1_000_000).contains(value),
                key,
                "\(value)",
                "give 1 to 1,000,000"
            )
        }
        try require(maxLength >= 2, "max_length", "\(maxLength)", "give 2 or more")
        try require(
            maxPromptLength < maxLength,
            "max_prompt_length",
            "\(maxPromptLength)",
            "it must be below max_length, \(maxLength), or no response is left"
        )
        for (key, value) in [
            ("warmup_steps", warmupSteps), ("checkpoint_every", checkpointEvery),
            ("eval_every", evalEvery), ("eval_generate", evalGenerate), ("keep_best", keepBest),
            ("sample_every", sampleEvery),
        ] {
            try require(value >= 0, key, "\(value)", "give 0 or more")
        }
        try require(keepBest <= 1_000_000, "keep_best", "\(keepBest)", "give at most 1,000,000")
        for (key, value) in [
            ("learning_rate", learningRate), ("projector_learning_rate", projectorLearningRate),
            ("clip", clip),
        ] {
            try require(
                value > 0 && value.isFinite,
                key,
                "\(value)",
                "give a number above 0"
            )
        }
        try require(
            spikeFactor == 0 || (spikeFactor > 1 && spikeFactor.isFinite),
            "spike_factor",
            "\(spikeFactor)",
            "give a number above 1, or 0 to skip no step for its loss"
        )
        try require(
            (0...1).contains(learningRateFloor),
            "learning_rate_floor",
            "\(learningRateFloor)",
            "give a number from 0 to 1"
        )
        for (key, value) in [
            ("dropout", dropout), ("attention_dropout", attentionDropout),
            ("lora.dropout", lora?.dropout ?? 0),
        ] {
            try require(
                (0..<1).contains(value),
                key,
                "\(value)",
                "give a number from 0 to below 1, such as 0.1"
            )
        }
        let alpha = lora?.alpha ?? 1
        try require(alpha > 0 && alpha.isFinite, "lora.alpha", "\(alpha)", "give a number above 0")
        try require(
            lora?.targets?.isEmpty != true,
            "lora.targets",
            "an empty list",
            "name linear maps, such as [q_proj, v_proj], or \(LoraOptions.allLinear)"
        )
        try require(
            (0..<1).contains(ema),
            "ema",
            "\(ema)",
            "give a number below 1, such as 0.999, or 0 for no average"
        )
        try require(
            (0..<1).contains(weightDecay),
            "weight_decay",
            "\(weightDecay)",
            "give a number from 0 to below 1"
        )
        for (key, value) in [
            ("cache", cache), ("output", output), ("student.from", student.from),
            ("split", split), ("projectors_from", projectorsFrom ?? "drawn"),
            ("dataset", dataset ?? "any"),
        ] {
            try require(!value.isEmpty, key, "an empty text", "name it")
        }
    }

    /// The settings as one line each, those left out that change no number of the result; the
    /// student's first weights, its tokenizer and the projectors' file instead of where they lay; the
    /// precision that this machine computes in.
    ///
    /// A checkpoint goes on only under equal ones.
    func fingerprint(of model: any LanguageModel, tokenizer: Tokenizer) throws -> [String: String] {
        var lines = try lines()
        let digests = model.parameters.map { parameter in
            let count = parameter.value.count * MemoryLayout<Float>.stride
            return sha256(
                of: Data(bytesNoCopy: parameter.value.base, count: count, deallocator: .none)
            )
        }
        if let projectorsFrom {
            lines[CodingKeys.projectorsFrom.rawValue] = try sha256(
                of: URL(fileURLWithPath: projectorsFrom)
            )
        }
        lines[CodingKeys.compute.rawValue] = compute.available.rawValue
        lines["tokenizer"] = tokenizer.fingerprint
        lines["student"] = sha256(of: Data(digests.joined().utf8))
        return lines
    }

    /// The lines of settings that nobody gives.
    func defaultLines() throws -> [String: String] {
        try DistillSettings(cache: cache, output: output, student: student.from).lines()
    }

    /// The settings that change numbers, as one line each.
    func lines() throws -> [String: String] {
        var free: Set<CodingKeys> = [
            .output, .cache, .student, .checkpointEvery, .keepCheckpoints, .unfinishedCache,
            .loaderMemoryMiB, .gradientCheckpointing, .skipPatience, .sampleEvery, .samplePrompts,
            .tensorboard, .dataset,
        ]
        // What is measured on the way decides nothing but which student is the best.
        if export != Export.best.rawValue {
            free.formUnion([
                .evalEvery, .heldOutSplit, .evalGenerate, .maxNewTokens, .keepBest, .bestBy,
            ])
        }
        let data = try JSONEncoder().encode(self)
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        var lines: [String: String] = [:]
        for key in CodingKeys.allCases where !free.contains(key) {
            lines[key.rawValue] = object[key.rawValue].map(Self.line) ?? "default"
        }
        return lines
    }

    /// One value; a dictionary's own description has another order in every process.
    private static func line(_ value: Any) -> String {
        guard let table = value as? [String: Any] else { return "\(value)" }
        return table.keys.sorted().map { "\($0)=\(line(table[$0] ?? ""))" }.joined(separator: ",")
    }
}

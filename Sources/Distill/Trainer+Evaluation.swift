import Cache
import Models
import Ranks
import Scores
import Tokenizers

/// What is measured after a step is not measured to its end, for the run is to stop.
struct MeasuringStopped: Error {}

/// What a run measures on the way.
extension Trainer {
    /// Held-out prompts that samples answer where the settings name none.
    static let defaultSamples = 4
    /// Prompts that are answered at a time.
    private static let answersAtATime = 16

    /// Refuses what needs held-out examples, or a model that generates, where there are none.
    ///
    /// - Throws: `DistillError.badSetting`, `.unfit`.
    func requireEvaluation() throws {
        let hasHeldOut = reader.recordCount(split: settings.heldOutSplit) > 0
        for (key, value, isWanted) in [
            ("keep_best", settings.keepBest, settings.keepBest > 0),
            ("eval_generate", settings.evalGenerate, settings.evalGenerate > 0),
            (
                "sample_every", settings.sampleEvery,
                settings.sampleEvery > 0 && settings.samplePrompts.isEmpty
            ),
        ] where isWanted {
            let splits = reader.manifest.splits.keys.sorted().joined(separator: ", ")
            try require(
                hasHeldOut,
                key,
                "\(value) without examples of split \"\(settings.heldOutSplit)\"",
                key == "sample_every"
                    ? "give sample_prompts" : "the cache has \(splits); name one as held_out_split"
            )
        }
        if settings.evalGenerate > 0 || settings.sampleEvery > 0 {
            guard training.model is TransformerModel else {
                throw DistillError.unfit(
                    "this student cannot generate; leave out eval_generate "
                        + "and sample_every"
                )
            }
        }
    }

    /// Whether the held-out split is looked at after a step.
    func evaluates(after step: Int) -> Bool {
        step == totalSteps || (settings.evalEvery > 0 && step % settings.evalEvery == 0)
    }

    /// Whether samples are taken after a step.
    func samples(after step: Int) -> Bool {
        settings.sampleEvery > 0 && (step == totalSteps || step % settings.sampleEvery == 0)
    }

    /// Means over the held-out split, and `rouge_l` where answers are asked for, of the averaged weights
    /// where there are such; nil where the cache has no such split.
    ///
    /// The losses are over all ranks' pieces; rank 0 alone answers.
    ///
    /// - Throws: `MeasuringStopped` when a rank is asked to stop meanwhile.
    public func heldOutLosses(
        shouldStop: () -> Bool = { false }
    ) throws -> [String: Double]? {
        guard reader.recordCount(split: settings.heldOutSplit) > 0 else { return nil }
        let batches = try stream(settings.heldOutSplit).batches(epoch: 0)
        return try training.withAverage {
            var (sums, pieces) = (CriterionSums(), 0)
            while let batch = try batches.next() {
                let made = try makeBatches(batch.records, firstPiece: pieces)
                pieces += made.count
                for piece in made.mine { sums.add(try training.losses(piece)) }
                try stopTogether(shouldStop)
            }
            var means = sums.total(over: ranks).means.filter { $0.value.isFinite }
            if ranks.isFirst { means["rouge_l"] = try heldOutRougeL(shouldStop) }
            try stopTogether(shouldStop)
            return means
        }
    }

    /// - Throws: `MeasuringStopped` on all ranks where one of them is asked to stop.
    func stopTogether(_ shouldStop: () -> Bool) throws {
        if ranks.any(shouldStop()) { throw MeasuringStopped() }
    }

    /// Answers to the prompts of `sample_prompts`, or to held-out ones.
    func takeSamples(
        step: Int,
        _ shouldStop: () -> Bool
    ) throws -> [TrainingSample] {
        let prompts =
            settings.samplePrompts.isEmpty
            ? try heldOutRecords(Self.defaultSamples).map { EvalPrompt($0) }
            : settings.samplePrompts.map { EvalPrompt(prompt: $0) }
        let answers = try training.withAverage { try answer(prompts, shouldStop) }
        return zip(prompts, answers).map {
            TrainingSample(step: step, prompt: $0.prompt, answer: $1)
        }
    }

    private func heldOutRougeL(_ shouldStop: () -> Bool) throws -> Double? {
        guard settings.evalGenerate > 0 else { return nil }
        let records = try heldOutRecords(settings.evalGenerate)
        let answers = try answer(records.map { EvalPrompt($0) }, shouldStop)
        let sum = zip(answers, records).reduce(0) {
            $0 + RougeL()($1.0, reference: $1.1.response)
        }
        return sum / Double(max(1, records.count))
    }

    private func answer(
        _ prompts: [EvalPrompt],
        _ shouldStop: () -> Bool
    ) throws -> [String] {
        guard let model = training.model as? TransformerModel else {
            return prompts.map { _ in "" }
        }
        return try StudentAnswers(
            model,
            tokenizer,
            template: encoder.template,
            batchSize: Self.answersAtATime
        )(
            prompts,
            options: SamplingOptions(temperature: 0, maxNewTokens: settings.maxNewTokens),
            shouldStop: shouldStop
        )
    }

    /// The first examples of the held-out split, as `retort eval` takes them: texts alone.
    private func heldOutRecords(_ limit: Int) throws -> [CacheRecord] {
        let batches = try CacheStream(
            reader: reader,
            split: settings.heldOutSplit,
            seed: 0,
            batch: .examples(Self.answersAtATime),
            hidden: false,
            logits: false
        ).batches(epoch: 0)
        var records: [CacheRecord] = []
        while records.count < limit, let batch = try batches.next() {
            records += batch.records.prefix(limit - records.count)
        }
        return records
    }
}

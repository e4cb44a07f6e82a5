import Cache
import Foundation
import Models
import Tensors
import Tokenizers

extension Extraction {
    /// What a cache says of where it comes from; a trial's has a part of the vocabulary and the shards.
    func description(
        weightsSHA256: String,
        vocabularySize: Int,
        shardPlan: [Int]
    ) -> CacheDescription {
        let c = checkpoint.configuration
        return CacheDescription(
            teacher: .init(
                name: checkpoint.url.lastPathComponent,
                architecture: c.modelType,
                hiddenSize: c.hiddenSize,
                vocabularySize: vocabularySize,
                weightsSHA256: weightsSHA256,
                computeType: settings.compute.available.rawValue,
                logitSoftCap: c.logitSoftCap
            ),
            tokenizer: .init(fingerprint: tokenizer.fingerprint, eos: Int(endOfSequence)),
            template: template.name,
            dataset: .init(
                name: URL(fileURLWithPath: settings.data).lastPathComponent,
                sha256: dataset.sha256,
                examplesSHA256: CacheDescription.Dataset.fingerprint(
                    of: examples.map { ($0.example.id, $0.example.split) }
                )
            ),
            maxPromptLength: settings.maxPromptLength,
            maxLength: settings.maxLength,
            topK: settings.storedTopK,
            shardPlan: shardPlan,
            signals: settings.signals,
            compression: settings.compression
        )
    }

    /// Runs the teacher over what is missing.
    ///
    /// - Parameters:
    ///   - worker: Which of several processes this is; nil for one that does everything.
    ///   - progress: Called after every layer of a group of examples.
    ///   - shouldStop: Asked as often; true ends the run with the finished shards kept.
    /// - Throws: `CacheError` when the cache belongs to other settings or the disk is full,
    ///   `ExtractError` of kind stopped.
    @discardableResult
    public func run(
        worker: Worker? = nil,
        progress: (Progress) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Outcome {
        let there = (try? FileManager.default.contentsOfDirectory(atPath: settings.output)) ?? []
        guard CacheWriter.canTakeUp(there) else {
            throw ExtractError(
                .outputExists,
                settings.output,
                "the directory holds something that is not a cache",
                remedy: "Choose another output"
            )
        }
        let writer = try CacheWriter(
            directory: URL(fileURLWithPath: settings.output),
            description: description(
                weightsSHA256: weightsFingerprint(checkpoint),
                vocabularySize: checkpoint.configuration.vocabularySize,
                shardPlan: plan.shards.map(\.count)
            ),
            plannedShards: plan.shards.count,
            worker: worker?.place,
            claimTimeout: settings.claimTimeout
        )
        defer { writer.removeDeadClaims() }
        let counts = [
            "examples": examples.count, "tokens": examples.tokenCount,
            "rows": examples.rowCount(settings.positions),
            "prompts_cut": examples.count { $0.promptWasCut },
            "examples_cut": examples.count { $0.wasCut },
            "duplicates": dataset.duplicateCount, "without_response": skipped,
        ]
        try writer.note(counts: counts)
        try fill(writer, worker, progress, shouldStop)
        try writer.refresh()
        let missing = writer.missing
        guard missing.shards.isEmpty, !missing.teacher else {
            return Outcome(
                missingShards: missing.shards,
                shardCount: plan.shards.count,
                isTeacherMissing: missing.teacher
            )
        }
        try writer.finish(counts: counts)
        return Outcome(missingShards: [], shardCount: plan.shards.count, isTeacherMissing: false)
    }

    /// Claims and makes what is missing, until nothing can be claimed any more.
    private func fill(
        _ writer: CacheWriter,
        _ worker: Worker?,
        _ progress: (Progress) -> Void,
        _ shouldStop: () -> Bool
    ) throws {
        let order = WorkerOrder(shards: plan.shards.count, worker: worker)
        var loaded: LayerwiseTeacher?
        func teacher() throws -> LayerwiseTeacher {
            if let loaded { return loaded }
            let memory = try memoryPlan()
            try memory.check()
            let teacher = try LayerwiseTeacher(
                checkpoint,
                compute: settings.compute,
                memory: memory,
                scratch: settings.scratch ?? settings.output,
                signals: settings.signals
            )
            loaded = teacher
            return teacher
        }
        var meter = Meter(self, writer)
        var isBusy = true
        // Once more after a pass that did something: a claim may have died, or been given back.
        while isBusy {
            isBusy = false
            if order.writesTeacher, let claim = try writer.claimTeacher() {
                defer { claim.release() }
                try writer.writeTeacher(try tables(try teacher()))
            }
            for shard in order.shards {
                guard let claim = try writer.claimShard(shard) else { continue }
                defer { claim.release() }
                meter.begin(writer)
                try make(shard, claim, try teacher(), writer, &meter, progress, shouldStop)
                isBusy = true
            }
        }
    }

    private func make(
        _ shard: Int,
        _ claim: ShardClaim,
        _ teacher: LayerwiseTeacher,
        _ writer: CacheWriter,
        _ meter: inout Meter,
        _ progress: (Progress) -> Void,
        _ shouldStop: () -> Bool
    ) throws {
        let layers = checkpoint.configuration.layerCount
        let output = try writer.beginShard(shard, expectedRecords: plan.shards[shard].count)
        do {
            for block in plan.blocks(ofShard: shard) {
                try teacher.run(examples, groups: block) { _, group, _ in
                    meter.tokensHere += Double(plan.tokens(group)) / Double(layers)
                    progress(meter.progress)
                    if shouldStop() { throw stopped(meter.shardsDone) }
                } finish: { group, states in
                    // The head's products may take as long as the layers.
                    if shouldStop() { throw stopped(meter.shardsDone) }
                    try append(examples[group], states, teacher, to: output)
                }
            }
            // Who was taken for dead, as after a night asleep, leaves the shard to its new holder.
            guard claim.isHeld else { return output.abandon() }
            _ = try output.finish()
        } catch {
            output.abandon()
            // The new holder of a lost claim removes what it finds half written.
            if (error as? ExtractError)?.kind != .stopped, !claim.isHeld { return }
            throw error
        }
    }

    private func stopped(_ shardsDone: Int) -> ExtractError {
        ExtractError(
            .stopped,
            settings.output,
            "stopped with \(shardsDone) of \(plan.shards.count) shards complete",
            remedy: "Run the same command again to go on"
        )
    }
}

/// Counts the tokens of this run, and those of shards that other workers finished meanwhile.
private struct Meter {
    private let tokens: [Int]
    private let tokenCount: Int
    private var missing: Set<Int>
    private var tokensDone = 0.0
    /// Tokens of the open shard, by the share of layers that they have been through.
    var tokensHere = 0.0
    private(set) var shardsDone: Int

    init(_ extraction: Extraction, _ writer: CacheWriter) {
        tokens = extraction.plan.shards.map(extraction.plan.tokens)
        missing = Set(tokens.indices).subtracting(writer.completedShards)
        tokenCount = missing.reduce(0) { [tokens] in $0 + tokens[$1] }
        shardsDone = tokens.count - missing.count
    }

    /// Takes in what is finished by now.
    mutating func begin(_ writer: CacheWriter) {
        tokensHere = 0
        for shard in missing.intersection(writer.completedShards) {
            tokensDone += Double(tokens[shard])
            missing.remove(shard)
        }
        shardsDone = tokens.count - missing.count
    }

    var progress: Extraction.Progress {
        Extraction.Progress(
            tokensDone: tokensDone + tokensHere,
            tokenCount: tokenCount,
            shardsDone: shardsDone,
            shardCount: tokens.count
        )
    }
}

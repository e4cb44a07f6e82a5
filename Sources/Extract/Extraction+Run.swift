import Cache
import Foundation
import Models
import Tensors
import Tokenizers

extension Extraction {
    private func description() throws -> CacheDescription {
        let c = checkpoint.configuration
        return CacheDescription(
            teacher: .init(
                name: checkpoint.url.lastPathComponent,
                architecture: c.modelType,
                hiddenSize: c.hiddenSize,
                vocabularySize: c.vocabularySize,
                weightsSHA256: try weightsFingerprint(checkpoint.url),
                computeType: settings.compute.available.rawValue
            ),
            tokenizer: .init(fingerprint: tokenizer.fingerprint, eos: Int(endOfSequence)),
            template: settings.template,
            dataset: .init(
                name: URL(fileURLWithPath: settings.data).lastPathComponent,
                sha256: dataset.sha256,
                examplesSHA256: sha256(
                    of: Data(
                        examples.map { "\($0.example.id) \($0.example.split)\n" }.joined().utf8
                    )
                )
            ),
            maxPromptLength: settings.maxPromptLength,
            maxLength: settings.maxLength,
            topK: settings.storedTopK,
            shardPlan: plan.shards.map(\.count),
            signals: settings.signals
        )
    }

    /// Runs the teacher over what is missing.
    ///
    /// - Parameters:
    ///   - progress: Called after every layer of a group of examples.
    ///   - shouldStop: Asked as often; true ends the run with the finished shards kept.
    /// - Throws: `CacheError` when the cache belongs to other settings or the disk is full,
    ///   `ExtractError` of kind stopped.
    public func run(
        progress: (Progress) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws {
        let there = (try? FileManager.default.contentsOfDirectory(atPath: settings.output)) ?? []
        guard there.isEmpty || there.contains("journal.jsonl") else {
            throw ExtractError(
                .outputExists,
                settings.output,
                "the directory holds something that is not a cache",
                remedy: "Choose another output"
            )
        }
        let writer = try CacheWriter(
            directory: URL(fileURLWithPath: settings.output),
            description: description(),
            plannedShards: plan.shards.count
        )
        let done = writer.completedShards
        let missing = plan.shards.indices.filter { !done.contains($0) }
        if !missing.isEmpty || !writer.hasTeacher {
            let memory = try memoryPlan()
            try memory.check()
            let teacher = try LayerwiseTeacher(
                checkpoint,
                compute: settings.compute,
                memory: memory,
                scratch: settings.scratch ?? settings.output,
                signals: settings.signals
            )
            if !writer.hasTeacher { try writer.writeTeacher(try tables(teacher)) }
            try run(missing, teacher, writer, progress, shouldStop)
        }
        let forecast = try forecast()
        try writer.finish(counts: [
            "examples": examples.count, "tokens": forecast.tokens, "rows": forecast.rows,
            "prompts_cut": forecast.promptsCut, "examples_cut": forecast.examplesCut,
            "duplicates": forecast.duplicates, "without_response": forecast.withoutResponse,
        ])
    }

    private func run(
        _ missing: [Int],
        _ teacher: LayerwiseTeacher,
        _ writer: CacheWriter,
        _ progress: (Progress) -> Void,
        _ shouldStop: () -> Bool
    ) throws {
        let layers = checkpoint.configuration.layerCount
        let total = missing.flatMap { plan.shards[$0] }
            .reduce(0) { $0 + examples[$1].tokenIDs.count }
        var tokensDone = 0.0
        var shardsDone = plan.shards.count - missing.count
        for shard in missing {
            let output = try writer.beginShard(
                shard,
                expectedRecords: plan.shards[shard].count
            )
            do {
                for block in plan.blocks(ofShard: shard) {
                    try teacher.run(examples, groups: block) { _, group, _ in
                        tokensDone += Double(plan.tokens(group)) / Double(layers)
                        progress(
                            Progress(
                                tokensDone: tokensDone,
                                tokenCount: total,
                                shardsDone: shardsDone,
                                shardCount: plan.shards.count
                            )
                        )
                        if shouldStop() { throw stopped(shardsDone) }
                    } finish: { group, states in
                        try append(examples[group], states, teacher, to: output)
                    }
                }
                _ = try output.finish()
            } catch {
                output.abandon()
                throw error
            }
            shardsDone += 1
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

import Cache
import Foundation
import Models
import Tensors
import Tokenizers

/// Stage one: runs the teacher once over a dataset and leaves a cache.
///
/// Running it again does only what is missing: shards that are complete stay as they are.
public final class Extraction {
    /// How far it is, in tokens times layers, which is what takes the time.
    public struct Progress: Sendable {
        /// Tokens done, counted by the share of layers that they have been through.
        public let tokensDone: Double
        /// Tokens to do in this run.
        public let tokenCount: Int
        /// Shards complete, and in all.
        public let shardsDone: Int, shardCount: Int
    }

    /// What there is to do, before it is done.
    public struct Forecast: Codable, Sendable {
        /// Examples that will be stored, and by split.
        public let examples: Int, splits: [String: Int]
        /// Examples of which the prompt, or the end, was cut to the limits.
        public let promptsCut: Int, examplesCut: Int
        /// Examples left out: the same text twice, or nothing supervised left.
        public let duplicates: Int, withoutResponse: Int
        /// Tokens that the teacher reads and rows that are stored.
        public let tokens: Int, rows: Int
        /// Shards in all, and those whose files are there already.
        public let shards: Int, shardsDone: Int
        /// Bytes of the shards and of the teacher's tables before compression.
        public let bytes: Int
        /// Floating-point operations of the teacher's products.
        public let operations: Double
        /// Bytes of memory: one layer, the embedding and head, and a block's activations.
        public let memoryBytes: Int
    }

    private let settings: ExtractSettings
    private let checkpoint: Checkpoint
    private let tokenizer: Tokenizer
    private let examples: [TokenizedExample]
    private let plan: ExtractionPlan
    private let dataset: Dataset
    private let skipped: Int
    private let endOfSequence: UInt32

    /// Opens the teacher and tokenises the dataset; runs nothing.
    ///
    /// - Throws: `ExtractError`, `ModelError`, `TokenizerError`, each naming file and place.
    public init(_ settings: ExtractSettings) throws {
        try settings.validate()
        self.settings = settings
        let template = try PromptTemplate.named(settings.template)
        let dataset = try Dataset(
            contentsOf: URL(fileURLWithPath: settings.data),
            splits: settings.splits,
            limit: settings.limit
        )
        let checkpoint = try Checkpoint(URL(fileURLWithPath: settings.teacher))
        let tokenizer = try Tokenizer(checkpoint)
        guard
            let end = tokenizer.endOfSequence
        else {
            throw ExtractError(
                .badData,
                settings.teacher,
                "the tokenizer names no end-of-sequence token",
                remedy: "Add eos_token to tokenizer_config.json"
            )
        }
        guard tokenizer.vocabularySize <= checkpoint.configuration.vocabularySize else {
            throw ExtractError(
                .badData,
                settings.teacher,
                "the tokenizer has \(tokenizer.vocabularySize) tokens, the model "
                    + "\(checkpoint.configuration.vocabularySize)",
                remedy: "tokenizer and weights do not belong together"
            )
        }
        guard settings.topK <= checkpoint.configuration.vocabularySize else {
            throw ExtractError(
                .badSetting,
                "extract.top_k",
                "\(settings.topK) of a vocabulary of \(checkpoint.configuration.vocabularySize)",
                remedy: "Give no more than there are tokens"
            )
        }
        let longest = min(settings.maxLength, checkpoint.configuration.maxPositions)
        guard longest == settings.maxLength else {
            throw ExtractError(
                .badSetting,
                "extract.max_length",
                "\(settings.maxLength) is beyond the teacher's \(longest) positions",
                remedy: "Give at most \(longest)"
            )
        }
        examples = try dataset.examples.compactMap {
            try TokenizedExample(
                $0,
                tokenizer: tokenizer,
                template: template,
                endOfSequence: end,
                settings: settings
            )
        }
        guard !examples.isEmpty else {
            throw ExtractError(
                .badData,
                settings.data,
                "no example has a supervised token within the limits",
                remedy: "Raise extract.max_length"
            )
        }
        skipped = dataset.examples.count - examples.count
        self.dataset = dataset
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        endOfSequence = end
        plan = ExtractionPlan(
            examples,
            hiddenSize: checkpoint.configuration.hiddenSize,
            settings: settings
        )
    }

    /// What a run would do.
    ///
    /// Reads nothing but the names of the shards that are there, and writes nothing.
    public func forecast() -> Forecast {
        let c = checkpoint.configuration
        let tokens = examples.reduce(0) { $0 + $1.tokenIDs.count }
        let rows = examples.reduce(0) { $0 + $1.supervised.count }
        let layer =
            c.hiddenSize * c.headSize * 2 * (c.headCount + c.keyValueHeadCount)
            + (c.modelType == "gpt2" ? 2 : 3) * c.hiddenSize * c.intermediateSize
        let head = c.vocabularySize * c.hiddenSize
        let products = Double(tokens) * Double(c.layerCount * layer)
        let headProducts = settings.topK > 0 ? Double(rows) * Double(head) : 0
        let block = min(tokens, settings.blockTokens)
        return Forecast(
            examples: examples.count,
            splits: Dictionary(grouping: examples, by: \.example.split).mapValues(\.count),
            promptsCut: examples.count { $0.promptWasCut },
            examplesCut: examples.count { $0.wasCut },
            duplicates: dataset.duplicateCount,
            withoutResponse: skipped,
            tokens: tokens,
            rows: rows,
            shards: plan.shards.count,
            shardsDone: plan.shards.indices.count { shardExists($0) },
            bytes: rows * (2 * c.hiddenSize + 6 * settings.topK + 4) + 4 * head,
            operations: 2 * (products + headProducts),
            memoryBytes: 4 * (2 * head + layer + block * 2 * c.hiddenSize)
                + settings.shardMiB << 20
        )
    }

    private func shardExists(_ index: Int) -> Bool {
        let name = String(format: "%05d.h5", index)
        return FileManager.default.fileExists(atPath: "\(settings.output)/shards/\(name)")
    }

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
            topK: settings.topK,
            shardPlan: plan.shards.map(\.count)
        )
    }

    /// Runs the teacher over what is missing.
    ///
    /// - Parameters:
    ///   - progress: Called after every layer of a block.
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
            let teacher = try LayerwiseTeacher(checkpoint, compute: settings.compute)
            if !writer.hasTeacher { try writer.writeTeacher(try tables(teacher)) }
            try run(missing, teacher, writer, progress, shouldStop)
        }
        let forecast = forecast()
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
                    let part = examples[block]
                    let share =
                        Double(part.reduce(0) { $0 + $1.tokenIDs.count }) / Double(layers)
                    let hidden = try teacher.hiddenStates(
                        part.map(\.tokenIDs),
                        rows: part.map(\.supervised)
                    ) { _ in
                        tokensDone += share
                        progress(
                            Progress(
                                tokensDone: tokensDone,
                                tokenCount: total,
                                shardsDone: shardsDone,
                                shardCount: plan.shards.count
                            )
                        )
                        if shouldStop() { throw stopped(shardsDone) }
                    }
                    try append(part, hidden, teacher, to: output)
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

    private func append(
        _ part: ArraySlice<TokenizedExample>,
        _ hidden: Matrix,
        _ teacher: LayerwiseTeacher,
        to output: ShardWriter
    ) throws {
        let k = settings.topK
        let top = teacher.topLogProbabilities(hidden, k: k)
        var row = 0
        for example in part {
            let rows = row..<(row + example.supervised.count)
            row = rows.upperBound
            let entries = (rows.lowerBound * k)..<(rows.upperBound * k)
            try output.append(
                CacheRecord(
                    id: example.example.id,
                    split: example.example.split,
                    prompt: example.example.prompt,
                    response: example.example.response,
                    input: example.example.input,
                    tokenIDs: example.tokenIDs,
                    supervised: example.supervised,
                    hidden: hidden.slice(rows: rows).values,
                    topKIDs: Array(top.ids[entries]),
                    topKLogProbs: Array(top.logProbabilities[entries]),
                    logPartition: Array(top.logPartitions[rows])
                )
            )
        }
    }

    /// The head, the embedding rows of every input and label token, and the tokenizer's files.
    private func tables(_ teacher: LayerwiseTeacher) throws -> TeacherTables {
        var occurring: Set<UInt32> = []
        for example in examples {
            // A position's label is the token after it.
            let used = example.supervised.lowerBound...example.supervised.upperBound
            occurring.formUnion(example.tokenIDs[used])
        }
        let ids = occurring.sorted()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-tokenizer-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        try tokenizer.write(to: folder)
        var files: [String: Data] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            files[name] = try Data(contentsOf: folder.appendingPathComponent(name))
        }
        return TeacherTables(
            head: teacher.head.value.values,
            embeddingIDs: ids,
            embedding: teacher.embeddingRows(ids).values,
            tokenizerFiles: files
        )
    }
}

/// The SHA-256 of a GGUF file, or over those of a directory's weights and config.json by name.
///
/// - Throws: `CacheError` when a file cannot be read.
public func weightsFingerprint(_ url: URL) throws -> String {
    var isDirectory: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
    guard isDirectory.boolValue else { return try sha256(of: url) }
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path)
        .filter { $0.hasSuffix(".safetensors") || $0 == "config.json" }.sorted()
    let parts = try names.map { "\($0) \(try sha256(of: url.appendingPathComponent($0)))" }
    return sha256(of: Data(parts.joined(separator: "\n").utf8))
}

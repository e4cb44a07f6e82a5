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

    /// What a run left.
    public struct Outcome: Sendable, Equatable {
        /// Shards that other workers are writing, or have yet to.
        public let missingShards: [Int]
        /// Shards in all.
        public let shardCount: Int
        /// True when `teacher.h5` is another worker's and not there yet.
        public let isTeacherMissing: Bool
        /// True when the cache is complete.
        public var isComplete: Bool { missingShards.isEmpty && !isTeacherMissing }
    }

    let settings: ExtractSettings
    let checkpoint: Checkpoint
    let tokenizer: Tokenizer
    let template: PromptTemplate
    let examples: [TokenizedExample]
    let plan: ExtractionPlan
    let dataset: Dataset
    let skipped: Int
    let endOfSequence: UInt32

    /// The splits that the cache will have.
    public var splits: Set<String> { Set(examples.map(\.example.split)) }

    /// Opens the teacher and tokenises the dataset; runs nothing.
    ///
    /// - Throws: `ExtractError`, `ModelError`, `TokenizerError`, each naming file and place.
    public init(_ settings: ExtractSettings) throws {
        try settings.validate()
        self.settings = settings
        let model = URL(fileURLWithPath: settings.teacher)
        let template = try PromptTemplate.named(settings.template, modelAt: model)
        self.template = template
        let dataset = try Dataset(
            contentsOf: URL(fileURLWithPath: settings.data),
            splits: settings.splits,
            limit: settings.limit
        )
        let checkpoint = try Checkpoint(
            model,
            adapter: settings.adapter.map { URL(fileURLWithPath: $0) }
        )
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
        let layers = checkpoint.configuration.layerCount
        if let layer = settings.hiddenLayers.first(where: { $0 >= layers }) {
            throw ExtractError(
                .badSetting,
                "extract.hidden_layers",
                "\(layer) is not a layer beside the final one of \(layers) blocks",
                remedy: "Give 0 (the embedding) to \(layers - 1); the final state is always stored"
            )
        }
        guard settings.storedTopK <= checkpoint.configuration.vocabularySize else {
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
            rowBytes: settings.rowBytes(
                hiddenSize: checkpoint.configuration.hiddenSize,
                vocabularySize: checkpoint.configuration.vocabularySize
            ),
            settings: settings
        )
    }
}

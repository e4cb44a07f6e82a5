import Foundation
import Models

extension Extraction {
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

    /// What a run would do.
    ///
    /// Reads nothing but the names of the shards that are there, and writes nothing.
    public func forecast() -> Forecast {
        let c = checkpoint.configuration
        let tokens = examples.reduce(0) { $0 + $1.tokenIDs.count }
        let rows = examples.reduce(0) { $0 + $1.rows(settings.positions).count }
        let layer =
            c.hiddenSize * c.headSize * 2 * (c.headCount + c.keyValueHeadCount)
            + (c.modelType == "gpt2" ? 2 : 3) * c.hiddenSize * c.intermediateSize
        let head = c.vocabularySize * c.hiddenSize
        let products = Double(tokens) * Double(c.layerCount * layer)
        let headProducts = settings.storesLogits ? Double(rows) * Double(head) : 0
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
            bytes: rows
                * settings.rowBytes(hiddenSize: c.hiddenSize, vocabularySize: c.vocabularySize)
                + 4 * head,
            operations: 2 * (products + headProducts),
            memoryBytes: 4 * (2 * head + layer + block * 2 * c.hiddenSize)
                + settings.shardMiB << 20
        )
    }

    private func shardExists(_ index: Int) -> Bool {
        let name = String(format: "%05d.h5", index)
        return FileManager.default.fileExists(atPath: "\(settings.output)/shards/\(name)")
    }
}

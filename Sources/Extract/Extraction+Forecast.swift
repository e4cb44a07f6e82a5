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
        /// Bytes of the cache before compression.
        public let bytes: PartBytes
        /// Floating-point operations of the teacher's products.
        public let operations: Double
        /// What will be resident.
        public let memory: MemoryPlan
        /// What a short trial on this machine foretells; nil without one.
        public var trial: Trial?
    }

    /// Bytes of a cache, by what they hold.
    public struct PartBytes: Codable, Sendable, Equatable {
        /// Hidden states.
        public var hidden = 0
        /// Logits in whichever form.
        public var logits = 0
        /// Texts, token ids, and where each example is.
        public var text = 0
        /// The teacher's head.
        public var head = 0
        /// Rows of the teacher's embedding.
        public var embedding = 0
        /// All of them.
        public var total: Int { hidden + logits + text + head + embedding }
    }

    /// What a trial with some real examples measured, scaled to the whole.
    public struct Trial: Codable, Sendable {
        /// Seconds that what is missing will take.
        public let seconds: Double
        /// Bytes of the cache on the disk.
        public let bytes: PartBytes
        /// Tokens and layers that the trial ran.
        public let tokens: Int, layers: Int
    }

    /// What a run would do.
    ///
    /// Reads nothing but the sizes of the weights and the names of the shards that are there, and
    /// writes nothing.
    /// - Throws: `ModelError` when the teacher's sizes make no sense.
    public func forecast() throws -> Forecast {
        let c = checkpoint.configuration
        let sizes = try TeacherSizes(checkpoint)
        let tokens = examples.tokenCount
        let rows = examples.rowCount(settings.positions)
        let products = Double(tokens) * Double(c.layerCount) * Double(sizes.layerMatrices)
        let head = Double(c.vocabularySize) * Double(c.hiddenSize)
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
            bytes: rawBytes(rows: rows),
            operations: 2 * (products + (settings.storesLogits ? Double(rows) * head : 0)),
            memory: try memoryPlan()
        )
    }

    private func rawBytes(rows: Int) -> PartBytes {
        let c = checkpoint.configuration
        var bytes = PartBytes()
        bytes.hidden = rows * settings.hiddenRowBytes(c.hiddenSize)
        bytes.logits = rows * settings.logitRowBytes(vocabularySize: c.vocabularySize)
        bytes.text = examples.reduce(0) { $0 + $1.storedTextBytes }
        bytes.head = 4 * c.vocabularySize * c.hiddenSize
        bytes.embedding = 4 * labelledTokens.count * (c.hiddenSize + 1)
        return bytes
    }

    func shardExists(_ index: Int) -> Bool {
        let name = String(format: "%05d.h5", index)
        return FileManager.default.fileExists(atPath: "\(settings.output)/shards/\(name)")
    }
}

extension TokenizedExample {
    /// Bytes of its texts, ids, split and offsets in a shard, before compression.
    var storedTextBytes: Int {
        example.prompt.utf8.count + example.input.utf8.count + example.response.utf8.count
            + 4 * tokenIDs.count + 16 + 1 + 8 * 6
    }
}

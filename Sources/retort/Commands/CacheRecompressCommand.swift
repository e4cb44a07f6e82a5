import ArgumentParser
import Cache
import Extract
import Foundation

extension CacheCompression: ExpressibleByArgument {}
extension CacheSignals.HiddenType: ExpressibleByArgument {}
extension CacheSignals.LogitType: ExpressibleByArgument {}

extension CacheCommand {
    /// The same cache, stored in another way.
    struct Recompress: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a cache anew: packed or stored in another way, with other signals.",
            discussion: """
                Signals that are made of logits (top-k, sampled, full) are computed from the stored hidden \
                states and the head. `retort cache fidelity` shows what each way of storing costs.

                Examples:
                  retort cache recompress runs/cache small --codec deflate
                  retort cache recompress runs/cache tiny --hidden-dtype int8 --top-k 0 --codec deflate
                  retort cache recompress runs/cache more --top-k 256 --samples 64
                """
        )

        @Argument(help: "The cache directory.")
        var cache: String

        @Argument(help: "The directory of the new cache.")
        var output: String

        @Option(help: "lz4 (fast to read) or deflate (a fifth smaller, no plug-in needed).")
        var codec: CacheCompression?

        @Option(help: "How hidden states are stored: bf16, f16, f32 or int8.")
        var hiddenDtype: CacheSignals.HiddenType?

        @Option(help: "A layer beside the final one to leave out; give it as often as needed.")
        var dropLayer: [Int] = []

        @Option(help: "Entries of each row's top-k; 0 leaves them out.")
        var topK: Int?

        @Option(help: "Tokens drawn from each row's distribution; 0 leaves them out.")
        var samples: Int?

        @Option(help: "Decides the draws.")
        var sampleSeed: UInt64?

        @Option(help: "Store whole rows of log-probabilities: f16 or bf16.")
        var fullLogits: CacheSignals.LogitType?

        @Flag(help: "Leave whole rows of log-probabilities out.")
        var dropFullLogits = false

        @Flag(help: "Keep the rows of supervised positions only.")
        var supervisedOnly = false

        @Flag(name: .customLong("json"), help: "Print JSON.")
        var isJSON = false

        func validate() throws {
            for (name, value, limit) in [
                ("top-k", topK, 4_096), ("samples", samples, CacheSignals.mostSamples),
            ] where !(0...limit).contains(value ?? 0) {
                throw ValidationError("--\(name) is 0 to \(limit).")
            }
            guard fullLogits == nil || !dropFullLogits else {
                throw ValidationError("Give --full-logits or --drop-full-logits, not both.")
            }
        }

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            let storage = try storage(reader)
            let rewriter = try CacheRewriter(
                reader,
                storage: storage,
                complete: try completion(reader, storage)
            )
            try CacheMaking.run(
                "recompress",
                unit: "examples",
                output: output,
                of: [cache],
                asJSON: isJSON,
                rewriter.write
            )
        }

        private func storage(_ reader: CacheReader) throws -> CacheRewriter.Storage {
            var signals = reader.manifest.description.signals
            if let unknown = dropLayer.first(where: { !signals.hiddenLayers.contains($0) }) {
                throw Failure(
                    "\(cache): has no layer \(unknown); it has \(signals.hiddenLayers)",
                    code: Failure.Code.usage
                )
            }
            signals.hiddenLayers.removeAll { dropLayer.contains($0) }
            signals.hiddenType = hiddenDtype ?? signals.hiddenType
            signals.samples = samples ?? signals.samples
            signals.sampleSeed = signals.samples == 0 ? 0 : sampleSeed ?? signals.sampleSeed
            signals.fullLogits = dropFullLogits ? nil : fullLogits ?? signals.fullLogits
            if supervisedOnly { signals.positions = .supervised }
            return .init(topK: topK, signals: signals, compression: codec)
        }

        /// Nil when the cache has all that is asked for.
        private func completion(
            _ reader: CacheReader,
            _ storage: CacheRewriter.Storage
        ) throws -> CacheRewriter.Completion? {
            let source = reader.manifest.description
            guard let signals = storage.signals else { return nil }
            let k = storage.topK ?? source.topK
            let old = source.signals
            let isDrawnAnew =
                signals.samples > 0
                && (signals.samples, signals.sampleSeed) != (old.samples, old.sampleSeed)
            let isFullNew = signals.fullLogits != nil && old.fullLogits == nil
            guard k > source.topK || isDrawnAnew || isFullNew else { return nil }
            if k > source.teacher.vocabularySize {
                throw Failure(
                    "--top-k \(k): the teacher has \(source.teacher.vocabularySize) tokens",
                    code: Failure.Code.usage
                )
            }
            let head = try CachedHead(reader)
            return { try head.complete($0, topK: k, signals: signals) }
        }
    }
}

import ArgumentParser
import Cache
import Foundation
import Models
import Tensors

extension ModelCommand {
    /// Hidden states before rounding, for people who check against another implementation.
    struct Hidden: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a model's final hidden states for the token ids of a cache.",
            discussion: """
                The file holds `tokens`, `offsets` (int64) and `hidden` (float32, one row a token).

                Example:
                  retort model hidden models/smollm2-135m-instruct.gguf --records 32 \\
                    --cache runs/quickstart/cache --output hidden.safetensors
                """
        )

        @Argument(help: "A Hugging Face directory or a GGUF file.")
        var model: String

        @Option(help: "The cache whose token ids are run.")
        var cache: String

        @Option(help: "How many of its records, from the first shard on.")
        var records = 32

        @Option(help: "The safetensors file to write.")
        var output: String

        func run() throws {
            let reader = try CacheReader(directory: URL(fileURLWithPath: cache))
            var sequences: [[UInt32]] = []
            for index in 0..<reader.shardCount {
                let shard = try reader.shard(index)
                for record in 0..<shard.recordCount where sequences.count < records {
                    sequences.append(
                        try shard.record(record, hidden: false, logits: false).tokenIDs
                    )
                }
            }
            let model = try Checkpoint(URL(fileURLWithPath: model)).model()
            let vocabulary = model.configuration.vocabularySize
            guard sequences.allSatisfy({ $0.allSatisfy { Int($0) < vocabulary } }) else {
                throw Failure(
                    "\(cache): token ids beyond the model's vocabulary of \(vocabulary); it is "
                        + "another teacher's cache",
                    code: Failure.Code.badData
                )
            }
            let limit = model.configuration.maxPositions
            guard sequences.allSatisfy({ $0.count <= limit }) else {
                throw Failure(
                    "\(cache): records longer than the model's \(limit) positions",
                    code: Failure.Code.badData
                )
            }
            let batch = VarlenBatch(sequences)
            let hidden = model.hiddenStates(batch, tape: nil)
            let tokens = batch.tokens.map { Int64($0) }
            let offsets = batch.offsets.map { Int64($0) }
            try tokens.withUnsafeBufferPointer { tokens in
                try offsets.withUnsafeBufferPointer { offsets in
                    let values = UnsafeBufferPointer(start: hidden.base, count: hidden.count)
                    try SafetensorsWriter.write(
                        [
                            .init(
                                name: "hidden",
                                shape: [hidden.rows, hidden.columns],
                                payload: .floats(values, as: .f32)
                            ),
                            .init(
                                name: "offsets",
                                shape: [offsets.count],
                                payload: .int64s(offsets)
                            ),
                            .init(name: "tokens", shape: [tokens.count], payload: .int64s(tokens)),
                        ],
                        to: URL(fileURLWithPath: output)
                    )
                }
            }
            Console.say("\(sequences.count) records, \(batch.tokenCount) tokens in \(output)")
        }
    }
}

import Foundation

/// Names, types and shapes of a shard's arrays: E examples, T tokens, R rows, width D, k entries.
enum ShardFormat {
    static let exampleID = "example_id"
    static let split = "split"
    static let textBytes = "text/bytes"
    static let textOffsets = "text/offsets"
    static let tokenIDs = "token_ids"
    static let tokenOffsets = "token_offsets"
    static let supervised = "supervised"
    static let rowOffsets = "row_offsets"
    static let hidden = "hidden/final"
    static let topKIDs = "logits/topk_ids"
    static let topKLogProbs = "logits/topk_logprobs"
    static let logPartition = "logits/log_partition"

    /// The JSON in a shard's root attribute.
    struct Header: Codable, Equatable {
        var format: Int
        var kind: String
        var shard: Int
        /// Names of the numbers in `split`.
        var splits: [String]
    }

    static func layer(_ number: Int) -> String { "hidden/layer_\(number)" }
    static func channelScale(_ hidden: String) -> String { hidden + "_channel_scale" }
    static func rowScale(_ hidden: String) -> String { hidden + "_row_scale" }
    static let sampleOffsets = "logits/sample_offsets"
    static let sampleIDs = "logits/sample_ids"
    static let sampleCounts = "logits/sample_counts"
    static let fullLogProbs = "logits/full_logprobs"

    /// One array of a shard.
    struct Array {
        var name: String
        var type: ElementType
        /// nil: one-dimensional.
        var columns: Int?
        /// Has an entry for each of the shard's rows.
        var isByRow = false

        /// Raw bytes of a chunk: smaller where an example has little, so that reading a few neighbours does
        /// not unpack what belongs to a thousand others.
        var chunkBytes: Int {
            switch name {
            case ShardFormat.textBytes, ShardFormat.tokenIDs, ShardFormat.logPartition: 32 << 10
            case ShardFormat.topKIDs, ShardFormat.topKLogProbs, ShardFormat.sampleIDs,
                ShardFormat.sampleCounts, ShardFormat.sampleOffsets:
                64 << 10
            default: type == .bf16 && columns == nil ? 32 << 10 : ArrayBuilder.chunkBytes
            }
        }
    }

    /// Every array of a shard, in the order of the file.
    static func arrays(_ description: CacheDescription) -> [Array] {
        let signals = description.signals
        let (width, topK) = (description.teacher.hiddenSize, description.topK)
        var result = [
            Array(name: exampleID, type: .u8, columns: 16), Array(name: split, type: .u8),
            Array(name: textBytes, type: .u8), Array(name: textOffsets, type: .u64),
            Array(name: tokenIDs, type: .u32), Array(name: tokenOffsets, type: .u64),
            Array(name: supervised, type: .u32, columns: 2), Array(name: rowOffsets, type: .u64),
        ]
        for name in [hidden] + signals.hiddenLayers.map(layer) {
            let type = signals.hiddenType.element
            result.append(Array(name: name, type: type, columns: width, isByRow: true))
            guard signals.hiddenType == .int8 else { continue }
            result += [
                Array(name: channelScale(name), type: .f32, columns: width),
                Array(name: rowScale(name), type: .bf16, isByRow: true),
            ]
        }
        if topK > 0 {
            result += [
                Array(name: topKIDs, type: .u32, columns: topK, isByRow: true),
                Array(name: topKLogProbs, type: .f16, columns: topK, isByRow: true),
            ]
        }
        if description.hasLogits {
            result.append(Array(name: logPartition, type: .f32, isByRow: true))
        }
        if signals.samples > 0 {
            result += [
                Array(name: sampleOffsets, type: .u64), Array(name: sampleIDs, type: .u32),
                Array(name: sampleCounts, type: .u16),
            ]
        }
        if let type = signals.fullLogits {
            result.append(
                Array(
                    name: fullLogProbs,
                    type: type == .f16 ? .f16 : .bf16,
                    columns: description.teacher.vocabularySize,
                    isByRow: true
                )
            )
        }
        return result
    }
}

extension CacheSignals.HiddenType {
    var element: ElementType {
        switch self {
        case .bf16: .bf16
        case .f16: .f16
        case .f32: .f32
        case .int8: .i8
        }
    }
}

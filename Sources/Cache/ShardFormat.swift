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

    /// Element type and columns (nil: one-dimensional) of every array.
    static func arrays(hiddenSize: Int, topK: Int) -> [(name: String, ElementType, columns: Int?)] {
        var result: [(name: String, ElementType, columns: Int?)] = [
            (exampleID, .u8, 16), (split, .u8, nil),
            (textBytes, .u8, nil), (textOffsets, .u64, nil),
            (tokenIDs, .u32, nil), (tokenOffsets, .u64, nil),
            (supervised, .u32, 2), (rowOffsets, .u64, nil),
            (hidden, .bf16, hiddenSize),
        ]
        if topK > 0 {
            result += [
                (topKIDs, .u32, topK), (topKLogProbs, .f16, topK), (logPartition, .f32, nil),
            ]
        }
        return result
    }
}

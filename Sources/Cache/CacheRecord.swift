import CKernels
import Foundation

/// One example as the teacher saw it, with what it said about each supervised position.
public struct CacheRecord: Sendable, Equatable {
    /// Content key: 32 lower-case hex digits, given by the extractor.
    public var id: String
    /// Name of the part of the dataset: `train`, `held_out`, ….
    public var split: String
    /// Raw text of the prompt.
    public var prompt: String
    /// Raw text of the response.
    public var response: String
    /// Optional extra input, empty when there is none.
    public var input: String
    /// The whole sequence (prompt, response, end token), cut to the longest length.
    public var tokenIDs: [UInt32]
    /// Positions whose *next* token belongs to the response.
    ///
    /// Position i is labelled `tokenIDs[i + 1]`.
    public var supervised: Range<Int>
    /// Positions that have a row of `hidden` and of the logits each: `supervised`, or all.
    public var positions: Range<Int>
    /// (rows, D) row-major final hidden states; stored as the description's `hiddenType`.
    public var hidden: [Float]
    /// (rows, D) hidden states of other layers, by their number; of the same type.
    public var layers: [Int: [Float]]
    /// (rows, k) ids of the most likely tokens; empty when k is 0.
    public var topKIDs: [UInt32]
    /// (rows, k) their log-probabilities at temperature 1; stored as f16.
    public var topKLogProbs: [Float]
    /// (rows) log of the sum of the exponentials of all logits; stored as f32; empty when no
    /// logits are stored.
    public var logPartition: [Float]
    /// Tokens drawn from each row's distribution; no rows when none were drawn.
    public var samples: SampledTokens
    /// (rows, V) log-probabilities at temperature 1; empty when they are not stored, or were given
    /// to the writer row by row.
    public var fullLogProbs: [Float]

    /// A record of these parts; shapes are checked when it is appended.
    public init(
        id: String,
        split: String,
        prompt: String,
        response: String,
        input: String = "",
        tokenIDs: [UInt32],
        supervised: Range<Int>,
        positions: Range<Int>? = nil,
        hidden: [Float],
        layers: [Int: [Float]] = [:],
        topKIDs: [UInt32] = [],
        topKLogProbs: [Float] = [],
        logPartition: [Float] = [],
        samples: SampledTokens = SampledTokens(),
        fullLogProbs: [Float] = []
    ) {
        self.id = id
        self.split = split
        self.prompt = prompt
        self.response = response
        self.input = input
        self.tokenIDs = tokenIDs
        self.supervised = supervised
        self.positions = positions ?? supervised
        self.hidden = hidden
        self.layers = layers
        self.topKIDs = topKIDs
        self.topKLogProbs = topKLogProbs
        self.logPartition = logPartition
        self.samples = samples
        self.fullLogProbs = fullLogProbs
    }

    /// Positions that have a row.
    public var rows: Int { positions.count }

    /// The 16 bytes of the id, nil when it is not 32 lower-case hex digits.
    var idBytes: [UInt8]? {
        let digits = id.utf8.map { digit -> UInt8 in
            switch digit {
            case 0x30...0x39: digit - 0x30
            case 0x61...0x66: digit - 0x61 + 10
            default: 255
            }
        }
        guard digits.count == 32, !digits.contains(255) else { return nil }
        return (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] }
    }
}

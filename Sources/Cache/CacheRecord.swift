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
    /// Position i is labelled `tokenIDs[i + 1]`. One row of `hidden` and of the logits each.
    public var supervised: Range<Int>
    /// (rows, D) row-major final hidden states; stored as bf16.
    public var hidden: [Float]
    /// (rows, k) ids of the most likely tokens; empty when k is 0.
    public var topKIDs: [UInt32]
    /// (rows, k) their log-probabilities at temperature 1; stored as f16.
    public var topKLogProbs: [Float]
    /// (rows) log of the sum of the exponentials of all logits; stored as f32; empty when k is 0.
    public var logPartition: [Float]

    /// A record of these parts; shapes are checked when it is appended.
    public init(
        id: String,
        split: String,
        prompt: String,
        response: String,
        input: String = "",
        tokenIDs: [UInt32],
        supervised: Range<Int>,
        hidden: [Float],
        topKIDs: [UInt32] = [],
        topKLogProbs: [Float] = [],
        logPartition: [Float] = []
    ) {
        self.id = id
        self.split = split
        self.prompt = prompt
        self.response = response
        self.input = input
        self.tokenIDs = tokenIDs
        self.supervised = supervised
        self.hidden = hidden
        self.topKIDs = topKIDs
        self.topKLogProbs = topKLogProbs
        self.logPartition = logPartition
    }

    /// Supervised positions.
    public var rows: Int { supervised.count }

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

    /// Refuses a record whose parts do not fit together or the description.
    func check(_ description: CacheDescription, path: String) throws {
        func refuse(_ what: String) -> CacheError {
            CacheError(
                .mismatch,
                path: path,
                "record \(id): \(what)",
                remedy: "This is a fault of the extractor, or of the teacher's numbers."
            )
        }
        let rows = self.rows
        let k = description.topK
        guard idBytes != nil else { throw refuse("the id is not 32 lower-case hex digits") }
        guard supervised.lowerBound >= 0,
            supervised.isEmpty || supervised.upperBound < tokenIDs.count
        else {
            throw refuse("supervised \(supervised) of \(tokenIDs.count) tokens leaves no label")
        }
        guard hidden.count == rows * description.teacher.hiddenSize else {
            throw refuse("\(hidden.count) hidden values for \(rows) rows")
        }
        guard topKIDs.count == rows * k, topKLogProbs.count == rows * k,
            logPartition.count == (k > 0 ? rows : 0)
        else { throw refuse("top-k arrays do not have \(rows) rows of \(k)") }
        let vocabulary = UInt32(clamping: description.teacher.vocabularySize)
        guard tokenIDs.allSatisfy({ $0 < vocabulary }), topKIDs.allSatisfy({ $0 < vocabulary })
        else { throw refuse("a token id is not below \(vocabulary)") }
        for (name, values) in [
            ("hidden", hidden), ("topKLogProbs", topKLogProbs), ("logPartition", logPartition),
        ] {
            let bad = ck_count_nonfinite(values, values.count)
            guard bad == 0 else { throw refuse("\(bad) values of \(name) are not finite") }
        }
    }
}

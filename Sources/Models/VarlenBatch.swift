/// Sequences laid end to end on one token axis, without padding.
public struct VarlenBatch: Sendable {
    /// The tokens of all sequences, T in all.
    public let tokens: [UInt32]
    /// Where each sequence starts, and at the end T: one more than there are sequences.
    public let offsets: [Int]

    /// Lays the given sequences end to end.
    public init(_ sequences: [[UInt32]]) {
        tokens = sequences.flatMap { $0 }
        offsets = sequences.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
    }

    /// The number of sequences.
    public var sequenceCount: Int { offsets.count - 1 }
    /// The number of tokens, T.
    public var tokenCount: Int { tokens.count }

    /// The position of each token within its own sequence (T).
    public var positions: [Int32] {
        var result: [Int32] = []
        result.reserveCapacity(tokens.count)
        for index in 0..<sequenceCount {
            for position in 0..<(offsets[index + 1] - offsets[index]) {
                result.append(Int32(position))
            }
        }
        return result
    }

    /// Runs of whole sequences of at most `limit` tokens together; a longer one is a run of its own.
    ///
    /// - Parameters:
    ///   - range: Which sequences; the runs are ranges of the same numbers.
    ///   - length: Tokens of a sequence.
    /// - Returns: One run or more; only that of an empty `range` is empty.
    package static func runs(
        of range: Range<Int>,
        limit: Int,
        length: (Int) -> Int
    ) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var (start, tokens) = (range.lowerBound, 0)
        for index in range {
            let count = length(index)
            if tokens > 0, tokens + count > limit {
                runs.append(start..<index)
                (start, tokens) = (index, 0)
            }
            tokens += count
        }
        runs.append(start..<range.upperBound)
        return runs
    }
}

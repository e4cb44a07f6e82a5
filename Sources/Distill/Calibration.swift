/// How far a model's confidence in its most likely token is from how often that is right.
///
/// Source: C. Guo et al., "On Calibration of Modern Neural Networks" (2017): bins of equal width.
public struct Calibration: Codable, Sendable, Equatable {
    /// Tokens of about one confidence.
    public struct Bin: Codable, Sendable, Equatable {
        /// How many there are.
        public var count = 0
        /// Their mean confidence, and the share that is right; 0 where there are none.
        public var confidence = 0.0
        /// See `confidence`.
        public var accuracy = 0.0
    }

    /// Bins from 0 to 1.
    public static let binCount = 15
    /// The expected calibration error: the gaps of the bins, weighed by their tokens.
    public var error = 0.0
    /// See `binCount`.
    public var bins: [Bin]

    /// - Parameter tokens: The probability of the most likely token of each, and whether it was the label.
    init(_ tokens: [(confidence: Float, isRight: Bool)]) {
        var sums = [(count: Int, confidence: Double, right: Int)](
            repeating: (0, 0, 0),
            count: Self.binCount
        )
        for token in tokens {
            // A bin holds its upper end: (0, 1/15], (1/15, 2/15], ...
            let place = (Double(token.confidence) * Double(Self.binCount)).rounded(.up)
            let bin = min(max(0, place.isFinite ? Int(place) - 1 : 0), Self.binCount - 1)
            sums[bin].count += 1
            sums[bin].confidence += Double(token.confidence)
            sums[bin].right += token.isRight ? 1 : 0
        }
        bins = sums.map { sum in
            guard sum.count > 0 else { return Bin() }
            return Bin(
                count: sum.count,
                confidence: sum.confidence / Double(sum.count),
                accuracy: Double(sum.right) / Double(sum.count)
            )
        }
        let all = Double(max(1, tokens.count))
        error = bins.reduce(0) { $0 + Double($1.count) / all * abs($1.confidence - $1.accuracy) }
    }
}

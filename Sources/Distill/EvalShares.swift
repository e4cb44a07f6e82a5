import Scores

/// Each example's part in the means of a model: what intervals and comparisons are made from.
public struct EvalShares: Sendable {
    /// Parts by example, as the cache names them.
    private(set) var shares: [EvalMeasure: [(id: String, share: Share)]] = [:]

    /// None.
    public init() {}

    /// Adds an example's part in a mean.
    public mutating func add(
        _ measure: EvalMeasure,
        _ id: String,
        sum: Double,
        weight: Double = 1
    ) {
        shares[measure, default: []].append((id, Share(sum, weight: weight)))
    }

    /// Sum and weight of all examples.
    func total(_ measure: EvalMeasure) -> Share {
        var total = Share(0, weight: 0)
        for (_, share) in shares[measure] ?? [] {
            total.sum += share.sum
            total.weight += share.weight
        }
        return total
    }

    /// The mean; nil where nothing was measured.
    ///
    /// An infinite one is the largest number.
    func mean(_ measure: EvalMeasure) -> Double? {
        let total = total(measure)
        return total.weight > 0 ? EvalReport.finite(total.sum / total.weight) : nil
    }

    /// The means' intervals; measures that are not finite have none.
    func intervals() -> [String: Estimate] {
        var found: [String: Estimate] = [:]
        for measure in shares.keys { found[measure.rawValue] = interval(measure) }
        return found
    }

    /// The interval of one; nil where it is not finite, or nothing was measured.
    func interval(_ measure: EvalMeasure) -> Estimate? {
        let estimate = Bootstrap().estimate((shares[measure] ?? []).map(\.share))
        guard let estimate, estimate.high.isFinite, estimate.low.isFinite else { return nil }
        return estimate
    }

    /// Means less those of `baseline`, over the examples that both have.
    public func differences(from baseline: EvalShares) -> [String: EvalDifference] {
        var found: [String: EvalDifference] = [:]
        for (measure, parts) in shares {
            let theirs = Dictionary(
                (baseline.shares[measure] ?? []).map { ($0.id, $0.share) },
                uniquingKeysWith: { first, _ in first }
            )
            let both = parts.compactMap { id, share in theirs[id].map { (share, $0) } }
            guard
                let estimate = Bootstrap().difference(both.map(\.0), from: both.map(\.1)),
                estimate.low.isFinite, estimate.high.isFinite
            else { continue }
            let isAbove = estimate.low > 0
            let differs = isAbove || estimate.high < 0
            found[measure.rawValue] = EvalDifference(
                difference: estimate,
                verdict: differs
                    ? (isAbove == measure.isHigherBetter ? .better : .worse) : .undecided
            )
        }
        return found
    }
}

/// A model's mean less the baseline's, and what may be said of it.
public struct EvalDifference: Codable, Sendable, Equatable {
    /// Whether the interval of the difference lies on one side of 0.
    public enum Verdict: String, Codable, Sendable {
        /// It does.
        case better, worse
        /// It does not.
        case undecided

        /// Behind a figure of a table.
        public var mark: String {
            switch self {
            case .better: "+"
            case .worse: "-"
            case .undecided: " "
            }
        }
    }

    /// Paired by example.
    public var difference: Estimate
    /// See `Verdict`.
    public var verdict: Verdict
}

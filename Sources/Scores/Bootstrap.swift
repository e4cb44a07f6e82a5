import Tensors

/// One example's part in a mean: a sum and what it is divided by, such as -log p over tokens.
public struct Share: Sendable, Equatable {
    /// The sum.
    public var sum: Double
    /// What the sums' total is divided by: tokens, or 1 for a mean over examples.
    public var weight: Double

    /// A part in a mean over examples, unless another weight is given.
    public init(_ sum: Double, weight: Double = 1) { (self.sum, self.weight) = (sum, weight) }
}

/// A mean with the interval that holds it in 95 of 100 samples of as many examples.
public struct Estimate: Codable, Sendable, Equatable {
    /// The mean itself.
    public var mean: Double
    /// The interval's ends.
    public var low: Double
    /// See `low`.
    public var high: Double

    /// An estimate, given its numbers.
    public init(mean: Double, low: Double, high: Double) {
        (self.mean, self.low, self.high) = (mean, low, high)
    }
}

/// Intervals by drawing the examples anew, with replacement: percentiles of the drawn means.
///
/// Source: B. Efron, "Bootstrap Methods" (1979). All measures of the same examples share the draws, so that a difference of two models is one of the same
/// examples.
public struct Bootstrap: Sendable {
    /// Drawn means.
    public let draws: Int
    /// The interval's share of them.
    public let level: Double
    private let seed: UInt64

    /// - Parameters:
    ///   - draws: At least 40, so that both ends are drawn means.
    ///   - seed: Of the draws: the same gives the same intervals.
    public init(draws: Int = 2000, level: Double = 0.95, seed: UInt64 = 1) {
        (self.draws, self.level, self.seed) = (max(40, draws), level, seed)
    }

    /// The mean of some examples, sum of sums over sum of weights; nil where nothing weighs anything.
    public func estimate(_ shares: [Share]) -> Estimate? {
        interval([shares]) { $0[0] }
    }

    /// The mean of `shares` less that of `baseline`, example for example; nil where either has none, or
    /// where they are not as many.
    public func difference(_ shares: [Share], from baseline: [Share]) -> Estimate? {
        guard shares.count == baseline.count else { return nil }
        return interval([shares, baseline]) { $0[0] - $0[1] }
    }

    private func interval(
        _ measures: [[Share]],
        _ figure: ([Double]) -> Double
    ) -> Estimate? {
        let count = measures.first?.count ?? 0
        guard count > 0 else { return nil }
        func mean(_ shares: [Share], _ counts: [Int]?) -> Double? {
            var sum = 0.0
            var weight = 0.0
            for (index, share) in shares.enumerated() {
                let times = Double(counts?[index] ?? 1)
                sum += times * share.sum
                weight += times * share.weight
            }
            return weight > 0 ? sum / weight : nil
        }
        let means = measures.map { mean($0, nil) }
        guard !means.contains(nil) else { return nil }
        var numbers = RandomNumbers(seed: seed, purpose: "bootstrap")
        var drawn: [Double] = []
        for _ in 0..<draws {
            var counts = [Int](repeating: 0, count: count)
            for _ in 0..<count {
                // The high half of a product: what favours some numbers is count / 2^64.
                counts[Int(numbers.next().multipliedFullWidth(by: UInt64(count)).high)] += 1
            }
            let means = measures.map { mean($0, counts) }
            // A draw of examples that weigh nothing has no mean.
            guard !means.contains(nil) else { continue }
            drawn.append(figure(means.compactMap { $0 }))
        }
        drawn.sort()
        let value = figure(means.compactMap { $0 })
        guard !drawn.isEmpty else { return Estimate(mean: value, low: value, high: value) }
        let tail = (1 - level) / 2
        return Estimate(
            mean: value,
            low: Self.quantile(drawn, tail),
            high: Self.quantile(drawn, 1 - tail)
        )
    }

    /// Between the two nearest, as numpy's `quantile`.
    private static func quantile(_ sorted: [Double], _ share: Double) -> Double {
        let place = share * Double(sorted.count - 1)
        let below = Int(place)
        let above = min(below + 1, sorted.count - 1)
        return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
    }
}

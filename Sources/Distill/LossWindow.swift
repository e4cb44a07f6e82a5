/// The total losses of the last applied steps, against which the next one's is held.
struct LossWindow: Codable, Equatable {
    /// Steps that are remembered, and how many there must be for a verdict.
    static let size = 32, least = 16

    /// The oldest first, all of them finite.
    private(set) var totals: [Double] = []

    init() {}

    /// A list, as it lies in a checkpoint's state.
    init(from decoder: any Decoder) throws {
        totals = try decoder.singleValueContainer().decode([Double].self)
    }

    /// See `init(from:)`.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(totals)
    }

    /// The highest total that is no spike: `factor` times the median.
    ///
    /// Nil, and nothing is a spike, with a factor of 0, with too few steps, or with a median that is not
    /// above 0.
    func ceiling(factor: Double) -> Double? {
        guard factor > 0, totals.count >= Self.least else { return nil }
        let sorted = totals.sorted()
        let median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        return median > 0 ? factor * median : nil
    }

    /// Takes the total of a step that was applied.
    mutating func append(_ total: Double) {
        guard total.isFinite else { return }
        totals.append(total)
        if totals.count > Self.size { totals.removeFirst() }
    }
}

/// How whole numbers are spread: a few figures, and counts in about ten bins.
public struct Histogram: Codable, Sendable, Equatable {
    /// Numbers from `from` to `to`, both included.
    public struct Bin: Codable, Sendable, Equatable {
        /// The smallest number of the bin.
        public var from: Int
        /// The largest number of the bin.
        public var to: Int
        /// How many numbers are in it.
        public var count: Int
    }

    /// How many numbers there are; all else is 0 when there are none.
    public var count: Int
    /// The smallest.
    public var minimum: Int
    /// The smallest number that half of them do not exceed.
    public var median: Int
    /// The smallest number that 95 of 100 do not exceed.
    public var p95: Int
    /// The largest.
    public var maximum: Int
    /// Their mean.
    public var mean: Double
    /// Bins of one width, ascending, from the smallest number's to the largest's.
    public var bins: [Bin]

    /// The spread of numbers of which each occurs so often.
    ///
    /// - Parameter occurrences: Counts by number; numbers are 0 or more.
    public init(_ occurrences: [Int: Int]) {
        let sorted = occurrences.sorted { $0.key < $1.key }.filter { $0.value > 0 }
        let count = sorted.reduce(0) { $0 + $1.value }
        self.count = count
        minimum = sorted.first?.key ?? 0
        maximum = sorted.last?.key ?? 0
        mean = sorted.reduce(0.0) { $0 + Double($1.key) * Double($1.value) } / Double(max(1, count))
        func rank(_ share: Double) -> Int {
            let wanted = max(1, Int((Double(count) * share).rounded(.up)))
            var seen = 0
            return sorted.first {
                seen += $0.value
                return seen >= wanted
            }?.key ?? 0
        }
        median = rank(0.5)
        p95 = rank(0.95)
        let width = Self.width(of: maximum - minimum + 1)
        let first = minimum / width
        bins =
            sorted.isEmpty
            ? []
            : (first...maximum / width).map {
                Bin(from: $0 * width, to: ($0 + 1) * width - 1, count: 0)
            }
        for (number, times) in sorted { bins[number / width - first].count += times }
    }

    /// 1, 2 or 5 times a power of ten, so that about ten bins cover `range` numbers.
    private static func width(of range: Int) -> Int {
        var power = 1
        while true {
            for factor in [1, 2, 5] where factor * power * 10 >= range { return factor * power }
            power *= 10
        }
    }

    /// The figures in a line, then a line with a bar for each bin.
    ///
    /// - Parameters:
    ///   - title: What is counted.
    ///   - width: Characters of the longest bar.
    public func lines(_ title: String, width: Int = 40) -> [String] {
        guard count > 0 else { return ["\(title): none"] }
        let most = bins.map(\.count).max() ?? 1
        let labels = bins.map { $0.from == $0.to ? "\($0.from)" : "\($0.from)-\($0.to)" }
        let column = labels.map(\.count).max() ?? 0
        let meanText = "\((mean * 10).rounded() / 10)"
        return [
            "\(title): median \(median), p95 \(p95), max \(maximum), min \(minimum), mean \(meanText)"
        ]
            + zip(labels, bins).map { label, bin in
                // Whatever occurs at all is seen.
                let length = bin.count == 0 ? 0 : max(1, bin.count * width / most)
                let bar = String(repeating: "#", count: length)
                let space = String(repeating: " ", count: column - label.count)
                return "  \(space)\(label)  \(bar)\(bar.isEmpty ? "" : " ")\(bin.count)"
            }
    }
}

/// Layers by number, counted from 0: `5`, or a range `0-3` with both ends.
struct LayerRange: Codable, Equatable {
    let numbers: ClosedRange<Int>
    /// As many as a model may have.
    private static let limit = 1_024

    /// - Returns: Nil for anything else, and for numbers that no model has.
    init?(_ text: String) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            .map { Int(String($0).trimmed) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2,
            first >= 0, first <= last, last < Self.limit
        else { return nil }
        numbers = first...last
    }

    /// Several with commas between.
    static func list(_ text: String) -> [LayerRange]? {
        let ranges = text.split(separator: ",", omittingEmptySubsequences: false)
            .map { LayerRange(String($0)) }
        let known = ranges.compactMap { $0 }
        return known.count == ranges.count ? known : nil
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text =
            try (try? container.decode(Int.self)).map { "\($0)" }
            ?? container.decode(String.self)
        guard let range = LayerRange(text) else {
            throw DecodingError.typeMismatch(
                Int.self,
                .init(codingPath: decoder.codingPath, debugDescription: text)
            )
        }
        self = range
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode("\(numbers.lowerBound)-\(numbers.upperBound)")
    }
}

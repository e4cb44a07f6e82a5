/// What a step looks for: a text as it stands, or a regular expression.
enum TextPattern: Sendable {
    case literal(String)
    case regex(Pattern)

    /// Longer literals are refused: looking for one takes the text's length times this at worst.
    static let literalLimit = 1_024

    /// A match, or what lies between two; matches may be empty.
    typealias Part = (range: Range<Int>, isMatch: Bool)

    /// The parts of `text`, in order and without gaps.
    ///
    /// - Parameter matcher: Memory for regular expressions; made for this call when nil.
    func parts(
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Pattern.Matcher? = nil
    ) throws -> [Part] {
        var parts: [Part] = []
        var kept = 0
        func add(_ match: Range<Int>) {
            if kept < match.lowerBound { parts.append((kept..<match.lowerBound, false)) }
            parts.append((match, true))
            kept = match.upperBound
        }
        switch self {
        case .literal(let literal): Self.find(Array(literal.utf8), text, add)
        case .regex(let pattern): try pattern.matches(text, matcher ?? Pattern.Matcher(), add)
        }
        if kept < text.count { parts.append((kept..<text.count, false)) }
        return parts
    }

    private static func find(
        _ literal: [UInt8],
        _ text: UnsafeBufferPointer<UInt8>,
        _ body: (Range<Int>) -> Void
    ) {
        guard let first = literal.first else { return }
        var at = 0
        while at + literal.count <= text.count {
            if text[at] == first, text[at..<at + literal.count].elementsEqual(literal) {
                body(at..<at + literal.count)
                at += literal.count
            } else {
                at += 1
            }
        }
    }
}

/// What becomes of the matches of a pattern that cuts a text.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// The words that remain, some of which may be empty.
    func words(_ parts: [TextPattern.Part]) -> [Range<Int>] {
        switch self {
        case .isolated: return parts.map(\.range)
        case .removed: return parts.filter { !$0.isMatch }.map(\.range)
        case .contiguous: return joined(parts) { $0 == $1 }
        case .mergedWithPrevious: return joined(parts) { $0 && !$1 }
        case .mergedWithNext: return joined(parts.reversed()) { $0 && !$1 }.reversed()
        }
    }

    /// Joins a part to the one before it where `join` says so of the two being matches.
    private func joined(
        _ parts: some Sequence<TextPattern.Part>,
        _ join: (_ isMatch: Bool, _ wasMatch: Bool) -> Bool
    ) -> [Range<Int>] {
        var out: [Range<Int>] = []
        var wasMatch = false
        for part in parts {
            if let last = out.last, join(part.isMatch, wasMatch) {
                out[out.count - 1] =
                    min(
                        last.lowerBound,
                        part.range.lowerBound
                    )..<max(last.upperBound, part.range.upperBound)
            } else {
                out.append(part.range)
            }
            wasMatch = part.isMatch
        }
        return out
    }
}

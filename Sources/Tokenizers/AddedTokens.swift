/// A token that is found in the text itself, before anything is cut or merged.
struct AddedToken: Sendable, Equatable {
    var id: Int
    var content: String
    /// Special tokens carry no text: they are left out when decoding.
    var isSpecial = true
    /// Only where no letter, digit or mark stands next to it.
    var singleWord = false
    /// Swallows the white space before it, or after it.
    var stripLeft = false
    var stripRight = false
    /// Looked for in the normalised text and not in the text as it came.
    var normalized = false
}

/// Where in a text special tokens may be recognised.
enum SpecialScope {
    case everywhere
    case nowhere
    /// Only those that lie wholly in one of these byte ranges, which are sorted and apart.
    case within([Range<Int>])

    func allows(_ range: Range<Int>) -> Bool {
        switch self {
        case .everywhere: true
        case .nowhere: false
        case .within(let ranges):
            ranges.contains {
                $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound
            }
        }
    }

    /// The scope seen from the part `range` of the text.
    func inside(_ range: Range<Int>) -> SpecialScope {
        guard case .within(let ranges) = self else { return self }
        return .within(
            ranges.compactMap {
                let cut = $0.clamped(to: range)
                guard !cut.isEmpty else { return nil }
                return cut.lowerBound - range.lowerBound..<cut.upperBound - range.lowerBound
            }
        )
    }
}

/// Finds added tokens in a text: the leftmost, and of those the longest.
struct AddedTokenMatcher: Sendable {
    static let contentLimit = 512

    let isEmpty: Bool
    let hasSpecial: Bool
    private let tokens: [AddedToken]
    private var firstBytes = [Bool](repeating: false, count: 256)
    /// (node, byte) -> next node; node 0 is the root.
    private var edges = PairTable(capacity: 256)
    /// The index in `tokens` of the token that ends at a node, -1 for none.
    private var ends: [Int32] = [-1]

    enum Part {
        case text(Range<Int>)
        case token(UInt32)
    }

    init(_ tokens: [AddedToken]) {
        self.tokens = tokens
        isEmpty = tokens.isEmpty
        hasSpecial = tokens.contains(where: \.isSpecial)
        for (index, token) in tokens.enumerated() {
            var node = 0
            for (depth, byte) in token.content.utf8.enumerated() {
                if depth == 0 { firstBytes[Int(byte)] = true }
                let next = edges.value(UInt32(node), UInt32(byte))
                if next != PairTable.absent {
                    node = Int(next)
                } else {
                    _ = edges.insert(UInt32(node), UInt32(byte), UInt64(ends.count))
                    node = ends.count
                    ends.append(-1)
                }
            }
            // Two that the normaliser makes one: the first holds, as in the reference.
            if ends[node] < 0 { ends[node] = Int32(index) }
        }
    }

    /// Calls `body` with the tokens of `text` and the stretches between them, in order.
    ///
    /// Special tokens outside `scope` are read as plain text; the others are always found.
    func parts(
        _ text: UnsafeBufferPointer<UInt8>,
        _ scope: SpecialScope,
        _ body: (Part) throws -> Void
    ) rethrows {
        var kept = 0
        var at = 0
        // Where the white space ends that was looked through last, so that it is once only.
        var spaceEnd = 0
        while !isEmpty, at < text.count {
            guard firstBytes[Int(text[at])], let (token, end) = longest(text, at, scope) else {
                at += 1
                continue
            }
            var start = at
            at = end
            if token.isSpecial, case .nowhere = scope { continue }
            if token.singleWord,
                TextEdges.endsInWord(text[..<start]) || TextEdges.startsWithWord(text[end...])
            {
                continue
            }
            if token.stripLeft {
                let space = TextEdges.trailingSpaceStart(text[min(kept, start)..<start])
                start = max(kept, space)
            }
            if kept < start { try body(.text(kept..<start)) }
            try body(.token(UInt32(token.id)))
            // The search goes on right after the token itself, as the reference's does.
            if token.stripRight, spaceEnd < end {
                spaceEnd = TextEdges.leadingSpaceEnd(text[end...])
            }
            kept = token.stripRight ? spaceEnd : end
        }
        if kept < text.count { try body(.text(kept..<text.count)) }
    }

    private func longest(
        _ text: UnsafeBufferPointer<UInt8>,
        _ start: Int,
        _ scope: SpecialScope
    ) -> (AddedToken, Int)? {
        var node = 0
        var at = start
        var found: (AddedToken, Int)?
        while at < text.count {
            let next = edges.value(UInt32(node), UInt32(text[at]))
            if next == PairTable.absent { break }
            node = Int(next)
            at += 1
            guard ends[node] >= 0 else { continue }
            let token = tokens[Int(ends[node])]
            // In a text with trusted parts, a stranger's name must not hide one of them. In one
            // without, the longest name counts, and is then passed over if it is special.
            if case .within = scope, token.isSpecial, !scope.allows(start..<at) { continue }
            found = (token, at)
        }
        return found
    }
}

/// White space and word characters at the ends of UTF-8 slices.
enum TextEdges {
    typealias Text = Slice<UnsafeBufferPointer<UInt8>>

    static func startsWithWord(_ text: Text) -> Bool { first(text).map(isWord) ?? false }

    static func endsInWord(_ text: Text) -> Bool { last(text).map(isWord) ?? false }

    static func leadingSpaceEnd(_ text: Text) -> Int {
        var rest = text
        while let byte = rest.first {
            if byte < 0x80 {
                guard isSpace(byte) else { break }
                rest = rest.dropFirst()
            } else {
                guard let scalar = first(rest), scalar.properties.isWhitespace else { break }
                rest = rest.dropFirst(UTF8.width(scalar))
            }
        }
        return rest.startIndex
    }

    static func trailingSpaceStart(_ text: Text) -> Int {
        var rest = text
        while let byte = rest.last {
            if byte < 0x80 {
                guard isSpace(byte) else { break }
                rest = rest.dropLast()
            } else {
                guard let scalar = last(rest), scalar.properties.isWhitespace else { break }
                rest = rest.dropLast(UTF8.width(scalar))
            }
        }
        return rest.endIndex
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }

    private static func first(_ text: Text) -> Unicode.Scalar? {
        String(decoding: text.prefix(4), as: UTF8.self).unicodeScalars.first
    }

    private static func last(_ text: Text) -> Unicode.Scalar? {
        var start = text.endIndex
        while start > text.startIndex {
            start -= 1
            if text[start] & 0xC0 != 0x80 { break }
        }
        return String(decoding: text[start...], as: UTF8.self).unicodeScalars.first
    }

    /// `\w` of the reference's own regular expressions.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        let isWord =
            switch properties.generalCategory {
            case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber,
                .connectorPunctuation:
                true
            default: properties.isAlphabetic || properties.isJoinControl
            }
        return isWord != OlderUnicode.words.contains(scalar)
    }
}

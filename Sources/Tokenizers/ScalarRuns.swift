/// Cutting a text by what kind of character each is.
enum ScalarRuns {
    /// Each character that is `chosen` as a match of its own, and what lies between.
    static func parts(
        _ text: UnsafeBufferPointer<UInt8>,
        _ chosen: (Unicode.Scalar) -> Bool
    ) -> [TextPattern.Part] {
        var parts: [TextPattern.Part] = []
        var kept = 0
        var at = 0
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            let end = at + UTF8.width(scalar)
            if chosen(scalar) {
                if kept < at { parts.append((kept..<at, false)) }
                parts.append((at..<end, true))
                kept = end
            }
            at = end
        }
        if kept < at { parts.append((kept..<at, false)) }
        return parts
    }

    /// Runs of word characters, and runs of what is neither that nor white space.
    static func words(_ text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
        enum Kind { case space, word, other }
        var words: [Range<Int>] = []
        var last = Kind.space
        var at = 0
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            let end = at + UTF8.width(scalar)
            let kind: Kind =
                TextEdges.isWord(scalar)
                ? .word : scalar.properties.isWhitespace ? .space : .other
            if kind != .space {
                if kind == last, let word = words.last {
                    words[words.count - 1] = word.lowerBound..<end
                } else {
                    words.append(at..<end)
                }
            }
            last = kind
            at = end
        }
        return words
    }

    /// ASCII punctuation and symbols, and Unicode's general category P.
    ///
    /// As the reference's tables have it.
    static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: return true
        default: break
        }
        let isPunctuation =
            switch scalar.properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
                .initialPunctuation, .finalPunctuation, .otherPunctuation:
                true
            default: false
            }
        return isPunctuation != OlderUnicode.punctuation.contains(scalar)
    }
}

// The standard library's own composition, which Foundation for Linux also builds upon. Foundation's
// public `precomposedStringWithCanonicalMapping` (6.3) is wrong: it leaves a Hangul final apart from a
// composed syllable and drops U+11A7, both of which change token ids.
@_spi(_Unicode) import Swift

/// Unicode composition (NFC), for tokenizers that ask for it.
///
/// The reference's tables are older than Swift's: a run of several combining marks of which some came
/// with or after Unicode 11 may be put into another order there.
enum Normalization {
    static func apply(_ normalizer: TokenizerDefinition.Normalizer, _ text: String) -> String {
        guard !normalizer.steps.isEmpty else { return text }
        var source = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if let parts = decomposedMarks[scalar] {
                source.append(contentsOf: parts)
            } else {
                source.append(scalar)
            }
        }
        var composed = String.UnicodeScalarView()
        composed.append(contentsOf: String(source)._nfc)
        return String(composed)
    }

    /// The four marks that stand for two marks each.
    ///
    /// They never occur in composed text, and taking
    /// them apart first lets the library order the halves, which it otherwise leaves in place.
    private static let decomposedMarks: [Unicode.Scalar: [Unicode.Scalar]] = [
        "\u{344}": ["\u{308}", "\u{301}"],
        "\u{F73}": ["\u{F71}", "\u{F72}"],
        "\u{F75}": ["\u{F71}", "\u{F74}"],
        "\u{F81}": ["\u{F71}", "\u{F80}"],
    ]

    /// True where `text` needs no work: all below U+0300, where nothing composes or is reordered.
    static func isPlainlyComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        text.allSatisfy { $0 < 0xCC }
    }
}

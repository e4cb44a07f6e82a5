import Foundation

/// Unicode composition (NFC), for tokenizers that ask for it.
///
/// The reference's tables are older than Swift's: a run of several combining marks of which some came
/// after Unicode 9 may be put into another order there.
enum Normalization {
    static func apply(_ normalizer: TokenizerDefinition.Normalizer, _ text: String) -> String {
        guard normalizer == .nfc else { return text }
        return composingHangul(text.precomposedStringWithCanonicalMapping)
    }

    /// True where `text` needs no work: all below U+0300, where nothing composes or is reordered.
    static func isPlainlyComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        text.allSatisfy { $0 < 0xCC }
    }

    /// Joins a Hangul syllable without a final consonant and the final consonant after it.
    ///
    /// Foundation for Linux (6.3) leaves out this one step of the composition when the syllable was
    /// already composed in the text.
    private static func composingHangul(_ text: String) -> String {
        let finals: ClosedRange<UInt32> = 0x11A8...0x11C2
        guard text.unicodeScalars.contains(where: { finals.contains($0.value) }) else {
            return text
        }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if finals.contains(scalar.value), let last = out.last?.value,
                (0xAC00...0xD7A3).contains(last), (last - 0xAC00).isMultiple(of: 28),
                let joined = Unicode.Scalar(last + scalar.value - 0x11A7)
            {
                out.removeLast()
                out.append(joined)
            } else {
                out.append(scalar)
            }
        }
        return String(out)
    }
}

import Foundation

/// Unicode composition (NFC), for tokenizers that ask for it.
enum Normalization {
    static func apply(_ normalizer: TokenizerDefinition.Normalizer, _ text: String) -> String {
        guard normalizer == .nfc else { return text }
        return text.precomposedStringWithCanonicalMapping
    }

    /// True where `text` needs no work: all below U+0300, where nothing composes or is reordered.
    static func isPlainlyComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        text.allSatisfy { $0 < 0xCC }
    }
}

/// One change that is made to a text before it is cut into words.
enum NormalizerStep: Sendable {
    case nfc
    case nfd
    case nfkc
    case nfkd
    case lowercase
    /// Takes white space from the ends.
    case strip(left: Bool, right: Bool)
    /// Drops marks of all kinds.
    case stripAccents
    case replace(TextPattern, with: String)
    /// Puts a text in front of each stretch that is not empty.
    case prepend(String)
    /// SentencePiece's own table of replacements.
    case precompiled(CharacterMap)
    /// SentencePiece's rules for control characters and unusual spaces.
    case nmt
}

extension TokenizerDefinition {
    /// The changes made to a text, in order.
    struct Normalizer: Sendable, ExpressibleByArrayLiteral {
        static let none: Normalizer = []
        static let nfc: Normalizer = [.nfc]

        var steps: [NormalizerStep]

        init(_ steps: [NormalizerStep]) { self.steps = steps }

        /// True for NFC alone.
        var isNFC: Bool {
            if steps.count == 1, case .nfc = steps[0] { true } else { false }
        }

        init(arrayLiteral elements: NormalizerStep...) { steps = elements }
    }
}

import Tokenizers

/// The text of every token of a vocabulary, as bytes: what two vocabularies are compared by.
///
/// A word-start mark (U+2581 of SentencePiece, U+0120 of GPT-2's alphabet) is a space; `<0x0A>` and GPT-2's
/// `Ċ` are the byte 10. The end of the sequence has no text, nor have other special tokens where it is
/// known which are special, nor ids without a token.
public struct TokenTexts: Sendable {
    /// The texts end to end.
    let bytes: [UInt8]
    /// (count + 1), where each text begins, and where the last ends.
    let offsets: [UInt32]
    /// The token that ends a sequence; nil where the vocabulary has none.
    public let endOfSequence: UInt32?
    /// Tokens such as `<0x41>` beside a token `A`, which no tokenizer makes of a text.
    ///
    /// They keep their text, but nothing is mapped to them: their rows of a head were never trained, and
    /// by their low ids they would come before the tokens that were.
    let unused: Set<UInt32>

    /// Tokens of the vocabulary, those without text too.
    public var count: Int { offsets.count - 1 }

    /// The texts of a tokenizer's tokens.
    ///
    /// - Parameter vocabulary: Rows of the head, which may be more than the tokenizer has tokens: the ids
    ///   above have no text. An end of sequence beyond them is none.
    public init(_ tokenizer: Tokenizer, vocabulary: Int) {
        self.init(count: vocabulary, endOfSequence: tokenizer.endOfSequence) { id in
            let bytes = tokenizer.bytes(of: id)
            // A byte-level vocabulary writes no byte so, and the six characters are not one byte of it.
            let isSpelled =
                bytes.count == 1 && SpelledByte.byte(Array(tokenizer.piece(id).utf8)) != nil
            return (bytes, isSpelled)
        }
    }

    /// The texts of tokens as a vocabulary file writes them, in order of id.
    ///
    /// Marks become spaces; the rest is the string's UTF-8. A vocabulary that holds a token for each byte
    /// is also read as its tokenizer reads it: with all of `<0x00>` to `<0xFF>` those are bytes, and
    /// with all 256 characters of GPT-2's alphabet every token is written in it. What no string can
    /// say is which tokens are special: but for the end of the sequence, these keep their names as text here.
    ///
    /// - Precondition: `endOfSequence` is an id of `strings`.
    public init(strings: [String], endOfSequence: UInt32?) {
        precondition(endOfSequence.map { $0 < strings.count } ?? true)
        let marks: ArraySlice<Unicode.Scalar> = ["\u{2581}", "\u{0120}"]
        // By their bytes: `String` holds different characters for equal where Unicode does.
        let short = Set(strings.lazy.filter { $0.utf8.count <= 6 }.map { Array($0.utf8) })
        let isByteLevel = ByteAlphabet.scalars.allSatisfy { short.contains(Array(String($0).utf8)) }
        let spellsBytes = (UInt8.min...UInt8.max).allSatisfy {
            short.contains(Array(SpelledByte.name($0).utf8))
        }
        self.init(count: strings.count, endOfSequence: endOfSequence) { id in
            let string = strings[Int(id)]
            if isByteLevel { return (ByteAlphabet.decode(string), false) }
            if spellsBytes, let byte = SpelledByte.byte(Array(string.utf8)) {
                return ([byte], true)
            }
            // Such vocabularies hold the letter U+0120 as a letter.
            return (Self.withSpaces(string, for: spellsBytes ? marks.prefix(1) : marks), false)
        }
    }

    /// - Parameter text: The bytes of a token, and whether it is one that spells a byte.
    private init(
        count: Int,
        endOfSequence: UInt32?,
        _ text: (UInt32) -> (bytes: [UInt8], isSpelledByte: Bool)
    ) {
        var bytes: [UInt8] = []
        var offsets: [UInt32] = [0]
        offsets.reserveCapacity(count + 1)
        var spelled: [(id: UInt32, byte: UInt8)] = []
        var plain = Set<UInt8>()
        for id in 0..<UInt32(count) {
            if id != endOfSequence {
                let (own, isSpelledByte) = text(id)
                bytes.append(contentsOf: own)
                if isSpelledByte {
                    spelled.append((id, own[0]))
                } else if own.count == 1 {
                    plain.insert(own[0])
                }
            }
            offsets.append(UInt32(bytes.count))
        }
        self.bytes = bytes
        self.offsets = offsets
        self.endOfSequence = endOfSequence.flatMap { $0 < count ? $0 : nil }
        unused = Set(spelled.filter { plain.contains($0.byte) }.map(\.id))
    }

    private static func withSpaces(
        _ string: String,
        for marks: ArraySlice<Unicode.Scalar>
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        for scalar in string.unicodeScalars {
            if marks.contains(scalar) {
                bytes.append(UInt8(ascii: " "))
            } else {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? .init())
            }
        }
        return bytes
    }
}

extension TokenTexts {
    /// The bytes of a token; none for one without text and for ids beyond the vocabulary.
    func text(of id: UInt32) -> ArraySlice<UInt8> {
        guard id < count else { return [] }
        return bytes[Int(offsets[Int(id)])..<Int(offsets[Int(id) + 1])]
    }

    func hasText(_ id: UInt32) -> Bool {
        id < count && offsets[Int(id)] < offsets[Int(id) + 1]
    }

    /// The first token of each text, of the tokens that something may be mapped to, in order of id.
    var firstOfText: [ArraySlice<UInt8>: UInt32] {
        var first: [ArraySlice<UInt8>: UInt32] = [:]
        first.reserveCapacity(count)
        for id in 0..<UInt32(count) where hasText(id) && !unused.contains(id) {
            let text = text(of: id)
            if first[text] == nil { first[text] = id }
        }
        return first
    }
}

/// Text to token ids and back: byte-level and SentencePiece-style BPE, and Unigram.
///
/// A value type over shared, unchangeable tables; copies cost nothing and may be used by any thread.
public struct Tokenizer: Sendable {
    let core: TokenizerCore

    init(_ definition: TokenizerDefinition) throws(TokenizerError) {
        core = try TokenizerCore(definition)
    }

    /// One past the highest id: the number of rows an embedding needs.
    public var vocabularySize: Int { core.vocabulary.count }

    /// The token that ends a text, where the tokenizer has one.
    public var endOfSequence: UInt32? { core.endOfSequence }

    /// The token that begins a text, where the tokenizer has one.
    public var beginOfSequence: UInt32? { core.beginOfSequence }

    /// The token that fills up short rows, where the tokenizer has one.
    public var padding: UInt32? { core.padding }

    /// 32 hexadecimal digits that differ when anything that changes tokenisation differs.
    ///
    /// The same for a tokenizer, for what `write(to:)` makes of it, and on every machine. FNV-1a: it
    /// guards against mistakes, not against a person who wants two tokenizers to look alike.
    public var fingerprint: String { core.fingerprint }

    /// True for tokens that stand for no text, such as end-of-text and chat markers.
    public func isSpecial(_ id: UInt32) -> Bool { core.specialIDs.contains(id) }

    /// How the vocabulary writes a token; empty for an id without one.
    public func piece(_ id: UInt32) -> String { core.vocabulary.piece(Int(id)) }

    /// The id of a piece, written as the vocabulary writes it (`"Ġthe"`, not `" the"`).
    public func id(of piece: String) -> UInt32? { core.vocabulary.id(of: piece) }

    /// The bytes that a token stands for; empty for special tokens and ids without a piece.
    ///
    /// Concatenated over the tokens of a text they are that text's UTF-8; one token's bytes need not
    /// be valid UTF-8. With a SentencePiece-style tokenizer they are the normalised text's: a mark
    /// `▁` is a space, wherever its piece stands, and `<0x0A>` is the byte. Such tokenizers mostly
    /// put a space in front of a text, which `decode(_:skipSpecialTokens:)` takes away again and
    /// these bytes keep, since one piece does not know whether it is the first.
    public func bytes(of id: UInt32) -> [UInt8] { Array(core.rawBytes(Int(id))) }
}

extension TokenizerCore {
    func rawBytes(_ id: Int) -> ArraySlice<UInt8> {
        guard id < vocabulary.count else { return [] }
        return rawBytes[rawOffsets[id]..<rawOffsets[id + 1]]
    }
}

/// One step from pieces back to text.
enum DecoderStep: Sendable {
    /// Characters of GPT-2's alphabet become bytes; what is not UTF-8 then becomes U+FFFD.
    case byteLevel
    /// Runs of `<0xNN>` become the text those bytes spell, or one U+FFFD a byte.
    case byteFallback
    /// All pieces become one.
    case fuse
    /// Takes up to so many of a character from the ends of each piece.
    case strip(Unicode.Scalar, start: Int, stop: Int)
    case replace(TextPattern, with: String)
    /// A mark becomes a space, and nothing in the first piece.
    case metaspace(Unicode.Scalar, PrependScheme)
}

/// Where the Metaspace steps put a mark in front of a text that has none.
enum PrependScheme: String, Sendable {
    case always
    /// Only where the whole text begins.
    case first
    case never
}

/// What becomes of the matches of a pattern that cuts a text.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
}

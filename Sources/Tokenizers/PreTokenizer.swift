/// One step that cuts a text into words before any byte pairs are merged.
enum PreTokenizerStep: Sendable {
    /// Cuts at the matches of a pattern; inverted, at what lies between them.
    case split(TextPattern, SplitBehavior, invert: Bool)
    /// Numbers of any script (general category N): each digit alone, or each run.
    case digits(individual: Bool, Pattern)
    /// GPT-2's step: perhaps a space in front, perhaps GPT-2's pattern, then bytes.
    case byteLevel(addPrefixSpace: Bool, Pattern?)
    /// Spaces become a mark, perhaps with one in front, and words begin at marks.
    case metaspace(Unicode.Scalar, PrependScheme, split: Bool)
    /// Words and runs of punctuation, without the white space between.
    case whitespace
    /// What stands between white space.
    case whitespaceSplit
    case punctuation(SplitBehavior)
}

/// The steps of a tokenizer, the last of which is the byte-level one.
struct PreTokenizer: Sendable {
    let steps: [PreTokenizerStep]

    /// Calls `word` with each word of `text`.
    func words(
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Pattern.Matcher,
        _ word: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        try run(0, text, matcher, word)
    }

    private func run(
        _ index: Int,
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Pattern.Matcher,
        _ word: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        guard !text.isEmpty else { return }
        guard index < steps.count else { return try word(text) }
        switch steps[index] {
        case .split(.regex(let pattern), _, _), .digits(_, let pattern):
            try pattern.split(text, matcher) { try run(index + 1, $0, matcher, word) }
        case .byteLevel(let addPrefixSpace, let pattern):
            if addPrefixSpace, text.first != UInt8(ascii: " ") {
                let spaced = [UInt8(ascii: " ")] + text
                return try spaced.withUnsafeBufferPointer {
                    try byteLevel(pattern, $0, matcher, word)
                }
            }
            try byteLevel(pattern, text, matcher, word)
        case .split, .metaspace, .whitespace, .whitespaceSplit, .punctuation:
            throw TokenizerError.unsupported(
                path: "the tokenizer",
                what: "a pre_tokenizer",
                known: []
            )
        }
    }

    private func byteLevel(
        _ pattern: Pattern?,
        _ text: UnsafeBufferPointer<UInt8>,
        _ matcher: Pattern.Matcher,
        _ word: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        guard let pattern else { return try word(text) }
        try pattern.split(text, matcher, word)
    }
}

extension PreTokenizerStep {
    /// Matches of a pattern, and what lies between, become words of their own.
    static func split(_ pattern: Pattern) -> PreTokenizerStep {
        .split(.regex(pattern), .isolated, invert: false)
    }

    static func digits(individual: Bool) throws(TokenizerError) -> PreTokenizerStep {
        .digits(individual: individual, try Pattern(individual ? #"\p{N}"# : #"\p{N}+"#))
    }

    static func byteLevel(
        addPrefixSpace: Bool = false,
        useRegex: Bool
    ) throws(TokenizerError) -> PreTokenizerStep {
        .byteLevel(
            addPrefixSpace: addPrefixSpace,
            useRegex ? try Pattern(KnownPatterns.gpt2) : nil
        )
    }
}

/// Patterns that models were trained with and that their files do not always spell out.
enum KnownPatterns {
    static let gpt2 =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    static let qwen2 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"#
        + #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    static let llama3 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"#
        + #" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
}

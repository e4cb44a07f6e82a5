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

/// The steps of a tokenizer that cut a text into words.
struct PreTokenizer: Sendable {
    let steps: [PreTokenizerStep]
    /// Words are the text's own bytes and not their alphabet, when the last step is the byte-level one.
    let keepsBytes: Bool

    /// Calls `word` with each word of `text`.
    ///
    /// - Parameter lead: How many bytes in front stem from the first character of the whole text.
    func words(
        _ text: UnsafeBufferPointer<UInt8>,
        lead: Int,
        _ matcher: Pattern.Matcher,
        _ word: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        try run(0, text, lead, matcher, word)
    }

    private func run(
        _ index: Int,
        _ text: UnsafeBufferPointer<UInt8>,
        _ lead: Int,
        _ matcher: Pattern.Matcher,
        _ word: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        guard !text.isEmpty else { return }
        guard index < steps.count else { return try word(text) }
        func next(_ range: Range<Int>) throws {
            try run(
                index + 1,
                UnsafeBufferPointer(rebasing: text[range]),
                max(0, lead - range.lowerBound),
                matcher,
                word
            )
        }
        switch steps[index] {
        case .split(.regex(let pattern), .isolated, _), .digits(_, let pattern):
            var start = 0
            try pattern.split(text, matcher) {
                try next(start..<start + $0.count)
                start += $0.count
            }
        case .split(let pattern, let behavior, let invert):
            var parts = try pattern.parts(text, matcher)
            if invert { parts = parts.map { ($0.range, !$0.isMatch) } }
            for range in behavior.words(parts) { try next(range) }
        case .whitespace:
            for range in ScalarRuns.words(text) { try next(range) }
        case .whitespaceSplit:
            let parts = ScalarRuns.parts(text) { $0.properties.isWhitespace }
            for range in SplitBehavior.removed.words(parts) { try next(range) }
        case .punctuation(let behavior):
            let parts = ScalarRuns.parts(text, ScalarRuns.isPunctuation)
            for range in behavior.words(parts) { try next(range) }
        case .metaspace(let mark, let scheme, let split):
            try metaspace(mark, scheme, split: split, text, lead) {
                try run(index + 1, $0, $1, matcher, word)
            }
        case .byteLevel(let addPrefixSpace, let pattern):
            let isLast = index + 1 == steps.count && keepsBytes
            try spaced(text, addPrefixSpace) { text in
                try byteLevel(pattern, text, matcher) { piece in
                    if isLast { return try word(piece) }
                    var mapped: [UInt8] = []
                    ByteAlphabet.encode(piece, into: &mapped)
                    let isFirst = piece.baseAddress == text.baseAddress
                    try mapped.withUnsafeBufferPointer {
                        try run(index + 1, $0, isFirst ? lead : 0, matcher, word)
                    }
                }
            }
        }
    }

    private func spaced(
        _ text: UnsafeBufferPointer<UInt8>,
        _ addPrefixSpace: Bool,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        guard addPrefixSpace, text.first != UInt8(ascii: " ") else { return try body(text) }
        let spaced = [UInt8(ascii: " ")] + text
        try spaced.withUnsafeBufferPointer(body)
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

    /// Puts the mark for each space, and one in front; then cuts before each mark.
    private func metaspace(
        _ mark: Unicode.Scalar,
        _ scheme: PrependScheme,
        split: Bool,
        _ text: UnsafeBufferPointer<UInt8>,
        _ lead: Int,
        _ body: (UnsafeBufferPointer<UInt8>, Int) throws -> Void
    ) throws {
        let encoded = UTF8.encode(mark).map(Array.init) ?? []
        var marked: [UInt8] = []
        marked.reserveCapacity(text.count + text.count / 4 + encoded.count)
        let startsMarked = text.first == UInt8(ascii: " ") || text.starts(with: encoded)
        if !startsMarked, scheme == .always || (scheme == .first && lead > 0) {
            marked.append(contentsOf: encoded)
        }
        var newLead = lead > 0 ? marked.count : 0
        for (index, byte) in text.enumerated() {
            if byte == UInt8(ascii: " ") {
                marked.append(contentsOf: encoded)
            } else {
                marked.append(byte)
            }
            if index + 1 == lead { newLead = marked.count }
        }
        try marked.withUnsafeBufferPointer { marked in
            guard split else { return try body(marked, newLead) }
            var start = 0
            var at = 0
            func cut() throws {
                let lead = max(0, newLead - start)
                try body(UnsafeBufferPointer(rebasing: marked[start..<at]), lead)
                start = at
            }
            while at < marked.count {
                if marked[at] == encoded[0], marked[at...].starts(with: encoded) {
                    if start < at { try cut() }
                    at += encoded.count
                } else {
                    at += 1
                }
            }
            try cut()
        }
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

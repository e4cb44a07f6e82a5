/// A stretch of text on its way through the normaliser.
struct NormalizedText {
    var bytes: [UInt8]
    /// How many bytes in front stem from the first character of the whole text.
    ///
    /// The reference keeps an offset for every byte. The only thing it decides is whether Metaspace
    /// with the scheme "first" puts its mark in front, so this is all that is kept.
    var lead: Int

    init(_ text: UnsafeBufferPointer<UInt8>, startsText: Bool) {
        bytes = Array(text)
        lead = startsText ? Self.firstWidth(bytes) : 0
    }

    /// Changes single characters; all that the first becomes still stems from the first.
    mutating func replaceCharacters(_ change: ([UInt8]) -> [UInt8]) {
        // One may become several, with spaces among them: U+FDFB is two words.
        let front = lead > 0 ? change(Array(bytes.prefix(lead))).count : 0
        bytes = change(bytes)
        lead = lead > 0 ? min(max(front, Self.firstWidth(bytes)), bytes.count) : 0
    }

    private static func firstWidth(_ bytes: [UInt8]) -> Int {
        guard bytes.count > 1 else { return bytes.count }
        var width = 1
        while width < bytes.count, bytes[width] & 0xC0 == 0x80 { width += 1 }
        return width
    }
}

extension TokenizerDefinition.Normalizer {
    func apply(_ text: inout NormalizedText, _ matcher: Pattern.Matcher) throws {
        let limit = Growth.limit(text.bytes.count)
        for step in steps where !text.bytes.isEmpty {
            try step.apply(&text, matcher, limit)
            guard text.bytes.count <= limit else { throw Growth.error("normalizer") }
        }
    }

    /// True where no step would change `text`, known without doing them.
    func leaves(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        steps.allSatisfy {
            if case .nfc = $0 { Normalization.isPlainlyComposed(text) } else { false }
        }
    }
}

extension NormalizerStep {
    fileprivate func apply(
        _ text: inout NormalizedText,
        _ matcher: Pattern.Matcher,
        _ limit: Int
    ) throws {
        switch self {
        case .nfc: text.replaceCharacters { Normalization.apply(.nfc, $0) }
        case .nfd: text.replaceCharacters { Normalization.apply(.nfd, $0) }
        case .nfkc: text.replaceCharacters { Normalization.apply(.nfkc, $0) }
        case .nfkd: text.replaceCharacters { Normalization.apply(.nfkd, $0) }
        case .lowercase: text.replaceCharacters(Normalization.lowercase)
        case .strip(let left, let right): text.strip(left: left, right: right)
        case .stripAccents:
            text.filter { !Normalization.isAccent($0) }
        case .replace(let pattern, let content):
            try text.replace(pattern, with: Array(content.utf8), matcher, limit)
        case .prepend(let front):
            text.bytes.insert(contentsOf: front.utf8, at: 0)
            if text.lead > 0 { text.lead += front.utf8.count }
        case .precompiled(let map): text.replaceCharacters { map.apply($0, limit: limit) }
        case .nmt:
            text.filter { !Normalization.isDroppedByNmt($0) }
            text.replaceCharacters(Normalization.nmtSpaces)
        }
    }
}

extension NormalizedText {
    fileprivate mutating func strip(left: Bool, right: Bool) {
        let cut = bytes.withUnsafeBufferPointer { text -> Range<Int> in
            let start = left ? TextEdges.leadingSpaceEnd(text[...]) : 0
            guard start < text.count else { return start..<start }
            return start..<(right ? TextEdges.trailingSpaceStart(text[...]) : text.count)
        }
        lead = max(0, lead - cut.lowerBound)
        bytes = Array(bytes[cut])
    }

    fileprivate mutating func filter(_ keep: (Unicode.Scalar) -> Bool) {
        guard !bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else { return }
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var kept = 0
        var at = 0
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            let end = at + UTF8.width(scalar)
            if keep(scalar) {
                out.append(contentsOf: bytes[at..<end])
                if at < lead { kept = out.count }
            }
            at = end
        }
        bytes = out
        lead = kept
    }

    fileprivate mutating func replace(
        _ pattern: TextPattern,
        with content: [UInt8],
        _ matcher: Pattern.Matcher,
        _ limit: Int
    ) throws {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var newLead = 0
        try bytes.withUnsafeBufferPointer { text in
            for part in try pattern.parts(text, matcher) {
                if part.isMatch {
                    // What is put in stems from the last character that was taken out.
                    out.append(contentsOf: content)
                    guard out.count <= limit else { throw Growth.error("normalizer") }
                    if part.range.upperBound <= lead, lead > 0 { newLead = out.count }
                } else {
                    let start = out.count
                    out.append(contentsOf: text[part.range])
                    if part.range.lowerBound < lead {
                        newLead = start + min(lead, part.range.upperBound) - part.range.lowerBound
                    }
                }
            }
        }
        bytes = out
        lead = newLead
    }
}

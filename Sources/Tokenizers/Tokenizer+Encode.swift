extension Tokenizer {
    /// The token ids of `text`, as Hugging Face's `tokenizers` gives them.
    ///
    /// Special tokens written in the text are recognised; for text from strangers use
    /// `encodePlain(_:)`. Bytes that the vocabulary has no token for become its unknown token, or are
    /// left out when it has none, as in the reference.
    ///
    /// - Parameter addSpecialTokens: Add what the tokenizer puts around a text (say, a begin token).
    /// - Throws: `TokenizerError.matchLimit` when the pattern gives up on this text.
    public func encode(
        _ text: String,
        addSpecialTokens: Bool = false
    ) throws -> [UInt32] {
        let ids = try core.encode(text, .everywhere)
        return addSpecialTokens ? core.prefix + ids + core.suffix : ids
    }

    /// The token ids of `text` with names of special tokens in it read as ordinary text.
    ///
    /// `"<|im_end|>"` becomes the tokens of those ten characters, so that a text cannot end its
    /// own turn.
    ///
    /// - Throws: `TokenizerError.matchLimit` when the pattern gives up on this text.
    public func encodePlain(_ text: String) throws -> [UInt32] {
        try core.encode(text, .nowhere)
    }
}

extension TokenizerCore {
    /// Memory used again from word to word within one call.
    private struct Scratch {
        var merger = WordMerger()
        var mapped: [UInt8] = []
        var out: [UInt32] = []
        let matcher: Pattern.Matcher
    }

    func encode(_ text: String, _ scope: SpecialScope) throws -> [UInt32] {
        guard !text.isEmpty else { return [] }
        var scratch = Scratch(matcher: try Pattern.Matcher())
        var text = text
        try text.withUTF8 { bytes in
            scratch.out.reserveCapacity(bytes.count / 3 + 8)
            try rawMatcher.parts(bytes, scope) { part in
                switch part {
                case .token(let id): scratch.out.append(id)
                case .text(let range):
                    let stretch = UnsafeBufferPointer(rebasing: bytes[range])
                    try normalized(stretch, scope.inside(range), &scratch)
                }
            }
        }
        return scratch.out
    }

    private func normalized(
        _ text: UnsafeBufferPointer<UInt8>,
        _ scope: SpecialScope,
        _ scratch: inout Scratch
    ) throws {
        guard !normalizer.steps.isEmpty, !Normalization.isPlainlyComposed(text) else {
            return try plain(text, scope, &scratch)
        }
        guard case .within(let trusted) = scope, !normalizedMatcher.isEmpty else {
            var composed = Normalization.apply(normalizer, String(decoding: text, as: UTF8.self))
            return try composed.withUTF8 { try plain($0, scope, &scratch) }
        }
        // Composition moves bytes. Composing trusted and other ranges apart keeps track of both; a
        // mark that would compose across the seam stays apart.
        var composed: [UInt8] = []
        var moved: [Range<Int>] = []
        var at = 0
        func append(_ range: Range<Int>) {
            let part = String(decoding: text[range], as: UTF8.self)
            composed.append(contentsOf: Normalization.apply(normalizer, part).utf8)
        }
        for range in trusted {
            append(at..<range.lowerBound)
            let start = composed.count
            append(range)
            moved.append(start..<composed.count)
            at = range.upperBound
        }
        append(at..<text.count)
        try composed.withUnsafeBufferPointer { try plain($0, .within(moved), &scratch) }
    }

    private func plain(
        _ text: UnsafeBufferPointer<UInt8>,
        _ scope: SpecialScope,
        _ scratch: inout Scratch
    ) throws {
        let matcher = scratch.matcher
        try normalizedMatcher.parts(text, scope) { part in
            switch part {
            case .token(let id): scratch.out.append(id)
            case .text(let range):
                try preTokenizer.words(UnsafeBufferPointer(rebasing: text[range]), matcher) {
                    word($0, &scratch)
                }
            }
        }
    }

    private func word(_ bytes: UnsafeBufferPointer<UInt8>, _ scratch: inout Scratch) {
        if ignoreMerges {
            scratch.mapped.removeAll(keepingCapacity: true)
            ByteAlphabet.encode(bytes, into: &scratch.mapped)
            if let id = scratch.mapped.withUnsafeBufferPointer({ vocabulary.id(of: $0) }) {
                scratch.out.append(id)
                return
            }
        }
        scratch.merger.begin()
        var lastWasUnknown = false
        for byte in bytes {
            let id = byteIDs[Int(byte)]
            if id != .max {
                scratch.merger.add(id)
                lastWasUnknown = false
            } else if let unknown {
                if !(fuseUnknown && lastWasUnknown) { scratch.merger.add(unknown) }
                lastWasUnknown = true
            }
        }
        scratch.merger.finish(merges: merges, into: &scratch.out)
    }
}

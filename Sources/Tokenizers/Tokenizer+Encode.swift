extension Tokenizer {
    /// The token ids of `text`, as Hugging Face's `tokenizers` gives them.
    ///
    /// Special tokens written in the text are recognised; for text from strangers use
    /// `encodePlain(_:)`. Bytes that the vocabulary has no token for become its unknown token, or are
    /// left out when it has none, as in the reference.
    ///
    /// - Parameter addSpecialTokens: Add what the tokenizer puts around a text (say, a begin token).
    /// - Throws: `TokenizerError.matchLimit` when the pattern gives up on this text; `.malformed`
    ///   when a Unigram model meets a character that it has no piece for, and has no unknown token.
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
    /// - Throws: As `encode(_:addSpecialTokens:)`.
    public func encodePlain(_ text: String) throws -> [UInt32] {
        try core.encode(text, .nowhere)
    }
}

extension TokenizerCore {
    /// Memory used again from word to word within one call.
    struct Scratch {
        var merger = WordMerger()
        var lattice = UnigramModel.Lattice()
        var mapped: [UInt8] = []
        var out: [UInt32] = []
        let matcher: Pattern.Matcher
    }

    func encode(_ text: String, _ scope: SpecialScope) throws -> [UInt32] {
        var scratch = Scratch(matcher: try Pattern.Matcher())
        var text = text
        try text.withUTF8 { try encode($0, scope, startsText: true, &scratch) }
        return scratch.out
    }

    /// Appends the ids of `bytes`, which are UTF-8, to what `scratch` holds.
    ///
    /// - Parameter startsText: Nothing of the text stands before these bytes.
    func encode(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ scope: SpecialScope,
        startsText: Bool,
        _ scratch: inout Scratch
    ) throws {
        scratch.out.reserveCapacity(scratch.out.count + bytes.count / 3 + 8)
        try rawMatcher.parts(bytes, scope) { part in
            switch part {
            case .token(let id): scratch.out.append(id)
            case .text(let range):
                try normalized(
                    UnsafeBufferPointer(rebasing: bytes[range]),
                    scope.inside(range),
                    startsText: startsText && range.lowerBound == 0,
                    &scratch
                )
            }
        }
    }

    private func normalized(
        _ text: UnsafeBufferPointer<UInt8>,
        _ scope: SpecialScope,
        startsText: Bool,
        _ scratch: inout Scratch
    ) throws {
        if normalizer.leaves(text) {
            // Only whether it is zero matters, and then the first character alone.
            return try plain(text, lead: startsText ? 1 : 0, scope, &scratch)
        }
        let whole = try normalize(text, startsText: startsText, scratch.matcher)
        var scope = scope
        if case .within(let trusted) = scope, normalizedMatcher.hasSpecial {
            // Where a trusted part begins and ends in the normalised text is how long what comes
            // before it is when normalised alone. At a seam inside a composed character this may be
            // off by bytes of that character, which no name of a token can use.
            let text = Array(text)
            func place(_ offset: Int) throws -> Int {
                let before = try text[..<offset].withUnsafeBufferPointer {
                    try normalize($0, startsText: startsText, scratch.matcher)
                }
                return min(before.bytes.count, whole.bytes.count)
            }
            scope = .within(
                try trusted.compactMap { range in
                    let start = try place(range.lowerBound)
                    let end =
                        range.upperBound == text.count
                        ? whole.bytes.count : try place(range.upperBound)
                    return start < end ? start..<end : nil
                }
            )
        }
        try whole.bytes.withUnsafeBufferPointer {
            try plain($0, lead: whole.lead, scope, &scratch)
        }
    }

    private func normalize(
        _ text: UnsafeBufferPointer<UInt8>,
        startsText: Bool,
        _ matcher: Pattern.Matcher
    ) throws -> NormalizedText {
        var out = NormalizedText(text, startsText: startsText)
        try normalizer.apply(&out, matcher)
        return out
    }

    private func plain(
        _ text: UnsafeBufferPointer<UInt8>,
        lead: Int,
        _ scope: SpecialScope,
        _ scratch: inout Scratch
    ) throws {
        let matcher = scratch.matcher
        try normalizedMatcher.parts(text, scope) { part in
            switch part {
            case .token(let id): scratch.out.append(id)
            case .text(let range):
                try preTokenizer.words(
                    UnsafeBufferPointer(rebasing: text[range]),
                    lead: max(0, lead - range.lowerBound),
                    matcher
                ) { try word($0, &scratch) }
            }
        }
    }

    func word(_ bytes: UnsafeBufferPointer<UInt8>, _ scratch: inout Scratch) throws {
        switch pieces {
        case .bytes: bytePieces(bytes, &scratch)
        case .characters(let characters): characterPieces(bytes, characters, &scratch)
        case .unigram(let model): try unigramPieces(bytes, model, &scratch)
        }
    }

    /// The model's id of a piece; tokens that were only added are none of its business.
    private func modelID(_ piece: UnsafeBufferPointer<UInt8>) -> UInt32? {
        vocabulary.id(of: piece).flatMap { addedOnly.contains($0) ? nil : $0 }
    }

    private func bytePieces(_ bytes: UnsafeBufferPointer<UInt8>, _ scratch: inout Scratch) {
        if ignoreMerges {
            scratch.mapped.removeAll(keepingCapacity: true)
            ByteAlphabet.encode(bytes, into: &scratch.mapped)
            if let id = scratch.mapped.withUnsafeBufferPointer(modelID) {
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

    private func characterPieces(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ characters: CharacterIDs,
        _ scratch: inout Scratch
    ) {
        if ignoreMerges, let id = modelID(bytes) {
            scratch.out.append(id)
            return
        }
        scratch.merger.begin()
        // The reference holds an unknown token back until the next character that it knows, so that
        // bytes of a character in between come before it.
        var held = false
        var at = 0
        while at < bytes.count {
            let start = at
            at += 1
            while at < bytes.count, bytes[at] & 0xC0 == 0x80 { at += 1 }
            if let id = characters.id(bytes[start..<at]) {
                if held, let unknown { scratch.merger.add(unknown) }
                held = false
                scratch.merger.add(id)
            } else if let spelled = spelledBytes,
                bytes[start..<at].allSatisfy({ spelled[Int($0)] != .max })
            {
                for byte in bytes[start..<at] { scratch.merger.add(spelled[Int(byte)]) }
            } else if let unknown {
                if held, !fuseUnknown { scratch.merger.add(unknown) }
                held = true
            }
        }
        if held, let unknown { scratch.merger.add(unknown) }
        scratch.merger.finish(merges: merges, into: &scratch.out)
    }

    private func unigramPieces(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ model: UnigramModel,
        _ scratch: inout Scratch
    ) throws {
        var out = scratch.out
        scratch.out = []
        let known = model.pieces(bytes, &scratch.lattice) { piece in
            if let id = modelID(piece) {
                out.append(id)
            } else if let spelled = spelledBytes,
                piece.allSatisfy({ spelled[Int($0)] != .max })
            {
                for byte in piece { out.append(spelled[Int(byte)]) }
            } else if let unknown {
                out.append(unknown)
            }
        }
        scratch.out = out
        guard known else {
            throw TokenizerError.malformed(
                path: path,
                place: "model.unk_id",
                reason: "a character has no piece, and there is no unknown token to stand for it"
            )
        }
    }
}

/// The ids of pieces of one character.
struct CharacterIDs: Sendable {
    private var table = PairTable(capacity: 256)

    init(_ entries: [(piece: String, id: Int)]) {
        for entry in entries {
            let scalars = entry.piece.unicodeScalars
            guard let first = scalars.first, UTF8.width(first) == entry.piece.utf8.count else {
                continue
            }
            _ = table.insert(0, Self.key(entry.piece.utf8), UInt64(entry.id))
        }
    }

    func id(_ character: Slice<UnsafeBufferPointer<UInt8>>) -> UInt32? {
        let id = table.value(0, Self.key(character))
        return id == PairTable.absent ? nil : UInt32(truncatingIfNeeded: id)
    }

    /// The at most four bytes of a character as one number.
    private static func key(_ bytes: some Sequence<UInt8>) -> UInt32 {
        bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

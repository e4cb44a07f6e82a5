extension Tokenizer {
    /// The token ids of bytes that need not be UTF-8, with names of special tokens read as text.
    ///
    /// A sequence that is not valid UTF-8 divides the text: what stands before it and after it is
    /// encoded as ever, and its bytes become the tokens of those bytes, merged among themselves. So
    /// valid text gives the ids of `encodePlain(_:)`, and where the tokenizer has no normaliser and
    /// puts no space in front, `bytes(of:)` over the ids gives back the same bytes.
    ///
    /// - Throws: `TokenizerError.unsupported` for tokenizers that are not byte-level, which have no
    ///   way to write such bytes; else as `encodePlain(_:)`.
    public func encode(bytes: [UInt8]) throws -> [UInt32] {
        try core.encode(bytes)
    }
}

extension TokenizerCore {
    fileprivate func encode(_ bytes: [UInt8]) throws -> [UInt32] {
        guard case .bytes = pieces else {
            throw TokenizerError.unsupported(
                path: path,
                what: "encoding bytes with a tokenizer that is not byte-level",
                known: []
            )
        }
        var scratch = Scratch(matcher: try Pattern.Matcher())
        try bytes.withUnsafeBufferPointer { bytes in
            var at = 0
            while at < bytes.count {
                var end = at
                while end < bytes.count {
                    let width = Self.validWidth(bytes[end...])
                    if width == 0 { break }
                    end += width
                }
                if at < end {
                    let text = UnsafeBufferPointer(rebasing: bytes[at..<end])
                    try encode(text, .nowhere, startsText: at == 0, &scratch)
                }
                at = end
                while end < bytes.count, Self.validWidth(bytes[end...]) == 0 { end += 1 }
                if at < end { try word(UnsafeBufferPointer(rebasing: bytes[at..<end]), &scratch) }
                at = end
            }
        }
        return scratch.out
    }

    /// How many bytes the valid character that begins here has, 0 where none does.
    private static func validWidth(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Int {
        guard let first = bytes.first else { return 0 }
        if first < 0x80 { return 1 }
        let width = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
        guard first >= 0xC2, first <= 0xF4, bytes.count >= width else { return 0 }
        return String(validating: bytes.prefix(width), as: UTF8.self) == nil ? 0 : width
    }
}

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

extension DecoderStep {
    /// The pieces after this step, all of them UTF-8.
    func apply(_ pieces: [[UInt8]]) -> [[UInt8]] {
        switch self {
        case .byteLevel:
            let bytes = pieces.flatMap { ByteAlphabet.decode(String(decoding: $0, as: UTF8.self)) }
            return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
        case .byteFallback: return Self.joinBytes(pieces)
        case .fuse:
            var whole: [UInt8] = []
            for piece in pieces { whole.append(contentsOf: piece) }
            return [whole]
        case .strip(let scalar, let start, let stop):
            return pieces.map { Self.strip($0, of: scalar, start: start, stop: stop) }
        case .replace(let pattern, let content):
            return pieces.map { Self.replace(pattern, with: content, in: $0) }
        case .metaspace(let mark, let scheme):
            return pieces.enumerated().map { index, piece in
                Self.spaces(piece, for: mark, drop: index == 0 && scheme != .never)
            }
        }
    }

    /// What one piece stands for by itself, wherever in a text it is.
    func bytes(of piece: [UInt8]) -> [UInt8] {
        switch self {
        case .byteLevel: ByteAlphabet.decode(String(decoding: piece, as: UTF8.self))
        case .byteFallback: SpelledByte.byte(piece).map { [$0] } ?? piece
        case .fuse, .strip: piece
        case .replace(let pattern, let content): Self.replace(pattern, with: content, in: piece)
        case .metaspace(let mark, _): Self.spaces(piece, for: mark, drop: false)
        }
    }

    private static func joinBytes(_ pieces: [[UInt8]]) -> [[UInt8]] {
        var out: [[UInt8]] = []
        var run: [UInt8] = []
        func flush() {
            guard !run.isEmpty else { return }
            if String(validating: run, as: UTF8.self) != nil {
                out.append(run)
            } else {
                out.append(contentsOf: run.map { _ in [0xEF, 0xBF, 0xBD] })
            }
            run.removeAll(keepingCapacity: true)
        }
        for piece in pieces {
            if let byte = SpelledByte.byte(piece) {
                run.append(byte)
            } else {
                flush()
                out.append(piece)
            }
        }
        flush()
        return out
    }

    private static func strip(
        _ piece: [UInt8],
        of scalar: Unicode.Scalar,
        start: Int,
        stop: Int
    ) -> [UInt8] {
        let mark = UTF8.encode(scalar).map(Array.init) ?? []
        var rest = piece[...]
        for _ in 0..<max(0, start) {
            guard rest.starts(with: mark) else { break }
            rest = rest.dropFirst(mark.count)
        }
        // Where both ends meet, the reference's cuts cross and it stops; nothing remains then.
        for _ in 0..<max(0, stop) {
            guard rest.count >= mark.count, rest.suffix(mark.count).elementsEqual(mark) else {
                break
            }
            rest = rest.dropLast(mark.count)
        }
        return Array(rest)
    }

    /// A pattern that gives up on a piece leaves it as it is: pieces are short, and decoding must
    /// not fail.
    private static func replace(
        _ pattern: TextPattern,
        with content: String,
        in piece: [UInt8]
    ) -> [UInt8] {
        if case .literal(let literal) = pattern {
            // Most pieces hold none; decoding a long text is thousands of times this.
            guard let first = literal.utf8.first, piece.contains(first) else { return piece }
            if piece.elementsEqual(literal.utf8) { return Array(content.utf8) }
        }
        let parts = piece.withUnsafeBufferPointer { text in
            try? pattern.parts(text, Pattern.Matcher())
        }
        guard let parts else { return piece }
        var out: [UInt8] = []
        for part in parts {
            if part.isMatch {
                out.append(contentsOf: content.utf8)
            } else {
                out.append(contentsOf: piece[part.range])
            }
        }
        return out
    }

    private static func spaces(
        _ piece: [UInt8],
        for mark: Unicode.Scalar,
        drop: Bool
    ) -> [UInt8] {
        replace(.literal(String(mark)), with: drop ? "" : " ", in: piece)
    }
}

/// Pieces that stand for one byte each, `<0x00>` to `<0xFF>`.
package enum SpelledByte {
    package static func name(_ byte: UInt8) -> String {
        let hex = String(byte, radix: 16, uppercase: true)
        return hex.utf8.count == 1 ? "<0x0\(hex)>" : "<0x\(hex)>"
    }

    /// The byte of a piece, in small letters too.
    package static func byte(_ piece: [UInt8]) -> UInt8? {
        guard piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: piece[3..<5], as: UTF8.self), radix: 16)
    }
}

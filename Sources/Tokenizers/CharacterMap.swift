/// SentencePiece's table of replacements: a double-array trie of texts and the texts put for them.
///
/// Every index that the table yields is checked, since the table comes from a stranger's file.
struct CharacterMap: Sendable {
    /// Real ones have 250 to 520 KB.
    static let byteLimit = 64 << 20

    /// The table as SentencePiece writes it, for `precompiled_charsmap`.
    let blob: [UInt8]
    private let units: [UInt32]
    private let texts: [UInt8]

    /// - Throws: `TokenizerError.malformed` when the sizes cannot be right.
    init(blob: [UInt8], path: String) throws(TokenizerError) {
        func fail(_ reason: String) -> TokenizerError {
            .malformed(path: path, place: "precompiled_charsmap", reason: reason)
        }
        guard blob.count <= Self.byteLimit else {
            throw fail("it is larger than \(Self.byteLimit >> 20) MiB")
        }
        func word(_ at: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(blob[at + $1]) << UInt32(8 * $1) }
        }
        guard blob.count >= 4 else { throw fail("it is shorter than its header") }
        let size = Int(word(0))
        guard size.isMultiple(of: 4), size > 0, size <= blob.count - 4 else {
            throw fail("its trie has \(size) bytes, the table \(blob.count)")
        }
        units = (0..<size / 4).map { word(4 + 4 * $0) }
        texts = Array(blob[(4 + size)...])
        guard String(validating: texts, as: UTF8.self) != nil else {
            throw fail("its texts are not UTF-8")
        }
        self.blob = blob
    }

    /// What the shortest entry that begins `text` is replaced by; nil where no entry does.
    ///
    /// The shortest, and for the whole of `text`: that is what the reference does.
    func replacement(of text: some Sequence<UInt8>) -> ArraySlice<UInt8>? {
        guard let first = units.first else { return nil }
        var node = Self.offset(first)
        for byte in text {
            if byte == 0 { return nil }
            node ^= Int(byte)
            guard node < units.count else { return nil }
            let unit = units[node]
            guard unit & 0x8000_00FF == UInt32(byte) else { return nil }
            node ^= Self.offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count else { return nil }
            let start = Int(units[node] & 0x7FFF_FFFF)
            guard start <= texts.count else { return nil }
            return texts[start...].prefix { $0 != 0 }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int {
        Int(unit >> 10) << Int((unit & 1 << 9) >> 6)
    }
}

extension CharacterMap {
    /// `text` with what the table replaces replaced.
    ///
    /// A user-perceived character of fewer than six bytes is looked up whole, else one scalar at a
    /// time, as in the reference. Stops soon after `limit` bytes.
    func apply(_ text: [UInt8], limit: Int = .max) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        for character in String(decoding: text, as: UTF8.self) {
            guard out.count <= limit else { break }
            let bytes = character.utf8
            if bytes.count < 6, let new = replacement(of: bytes) {
                out.append(contentsOf: new)
                continue
            }
            for scalar in character.unicodeScalars {
                if let new = replacement(of: UTF8.encode(scalar).map(Array.init) ?? []) {
                    out.append(contentsOf: new)
                } else {
                    out.append(scalar)
                }
            }
        }
        return out
    }
}

extension Tokenizer {
    /// The text of `ids`, as Hugging Face's `tokenizers` gives it; bytes that are not UTF-8 become
    /// U+FFFD.
    ///
    /// Two cases differ. With byte-level tokenizers the reference reads an added token's letters as
    /// bytes where it can, so that `naïve` comes back garbled; here it stands for itself. And special
    /// tokens that its normaliser changes (`</s>` of old Llama files) are not left out by the
    /// reference, version 0.23; here they are.
    ///
    /// - Parameter skipSpecialTokens: Leave special tokens out, or write their names.
    public func decode(_ ids: [UInt32], skipSpecialTokens: Bool = true) -> String {
        if case .byteLevel? = core.decoders?.first, core.decoders?.count == 1 {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(ids.count * 4)
            for id in ids {
                if isSpecial(id) {
                    if !skipSpecialTokens { bytes.append(contentsOf: piece(id).utf8) }
                } else {
                    bytes.append(contentsOf: core.rawBytes(Int(id)))
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        let count = core.vocabulary.count
        let pieces = ids.filter {
            $0 < count && !core.vocabulary.isHole(Int($0)) && !(skipSpecialTokens && isSpecial($0))
        }.map {
            core.normalizedContents[Int($0)] ?? Array(core.vocabulary.utf8(Int($0)))
        }
        guard let decoders = core.decoders else {
            return String(decoding: Array(pieces.joined(separator: [0x20])), as: UTF8.self)
        }
        let decoded = DecoderStep.fuse.apply(decoders.reduce(pieces) { $1.apply($0) })
        return String(decoding: decoded[0], as: UTF8.self)
    }
}

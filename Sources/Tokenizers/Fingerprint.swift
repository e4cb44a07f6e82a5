/// A short name for everything that changes what a tokenizer does.
///
/// FNV-1a with 128 bits: it tells tokenizers apart by accident of difference, and is not
/// cryptographic; a person who wants two tokenizers to collide can make them.
enum Fingerprint {
    struct Hash {
        private var state: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d

        mutating func add(_ bytes: some Sequence<UInt8>) {
            for byte in bytes {
                state = (state ^ UInt128(byte)) &* 0x0000_0000_0100_0000_0000_0000_0000_013B
            }
        }

        /// Adds a text and an end mark, so that neighbours cannot trade characters.
        mutating func add(_ text: String) {
            add(text.utf8)
            add(CollectionOfOne(0xFF))
        }

        /// 32 hexadecimal digits.
        var text: String {
            let hex = String(state, radix: 16)
            return String(repeating: "0", count: 32 - hex.count) + hex
        }
    }

    static func of(
        _ definition: TokenizerDefinition,
        added: [AddedToken],
        special: Set<UInt32>,
        vocabulary: Vocabulary,
        merges: [UInt64],
        scores: [Double],
        decoders: [DecoderStep]?
    ) -> String {
        var hash = Hash()
        hash.add("retort tokenizer 1 \(vocabulary.count)")
        for id in 0..<vocabulary.count {
            hash.add(vocabulary.utf8(id))
            hash.add(CollectionOfOne(0xFF))
        }
        hash.add("merges \(merges.count)")
        for merge in merges {
            for shift in stride(from: 0, to: 64, by: 8) {
                hash.add(CollectionOfOne(UInt8(truncatingIfNeeded: merge >> UInt64(shift))))
            }
        }
        for token in added {
            hash.add("added \(token.id) \(token.isSpecial) \(token.singleWord)")
            hash.add("\(token.stripLeft) \(token.stripRight) \(token.normalized)")
        }
        // What byte-level tokenizers of the first version had is named as it was then, so that
        // their fingerprints stay.
        switch definition.normalizer.steps.count {
        case 0: hash.add("normalizer none")
        case 1 where definition.normalizer.isNFC: hash.add("normalizer nfc")
        default: hash.add("normalizer \(JSONText.text(definition.normalizer.json))")
        }
        for step in definition.steps {
            switch step {
            case .split(.regex(let pattern), .isolated, false): hash.add("split \(pattern.source)")
            case .digits(let individual, _): hash.add("digits \(individual)")
            case .byteLevel(let space, let pattern):
                hash.add("bytes \(space) \(pattern != nil)")
            default: hash.add("step \(JSONText.text(step.json))")
            }
        }
        if let decoders, decoders.count == 1, case .byteLevel = decoders[0] {
            // As in the first version.
        } else {
            hash.add("decoders \(decoders.map { JSONText.text(.array($0.map(\.json))) } ?? "none")")
        }
        if definition.model == .unigram {
            hash.add("unigram")
            for score in scores { hash.add("\(score)") }
        }
        if definition.byteFallback { hash.add("byte fallback") }
        hash.add("whole words \(definition.ignoreMerges)")
        hash.add("unknown \(definition.unknown ?? "") \(definition.fuseUnknown)")
        hash.add("around \(definition.prefix) \(definition.suffix)")
        for id in [definition.endOfSequence, definition.beginOfSequence, definition.padding] {
            // The role of a piece that is not special changes no ids, and `write(to:)` leaves it out.
            let special = id.flatMap { special.contains(UInt32($0)) ? $0 : nil }
            hash.add("special \(special ?? -1)")
        }
        return hash.text
    }
}

/// What any source of a tokenizer (a directory, a GGUF file, training) says about it.
struct TokenizerDefinition {
    /// How the pieces of a word are chosen.
    enum Model: String, Sendable {
        /// Byte-pair merges, in order of rank.
        case bpe = "BPE"
        /// The most probable pieces together, by `scores`.
        case unigram = "Unigram"
    }

    /// Names the source in errors.
    var path: String
    var model = Model.bpe
    /// Pieces and ids; added tokens may be among them or not.
    var vocabulary: [(piece: String, id: Int)]
    /// Log-probabilities of a Unigram model, one for each entry of `vocabulary` and in its order.
    var scores: [Double] = []
    /// Pairs in order of rank; none in a Unigram model.
    var merges: [(left: String, right: String)]
    var added: [AddedToken] = []
    var normalizer = Normalizer.none
    var steps: [PreTokenizerStep]
    /// From pieces to text. Nil is the usual way: bytes where the last step is the byte-level one,
    /// else all pieces with spaces between.
    var decoders: [DecoderStep]?
    /// A character without a piece becomes its bytes, `<0x0A>` and the like, where these have ids.
    var byteFallback = false
    /// A word that is itself a piece is taken whole, whatever the merges would make of it.
    var ignoreMerges = false
    /// Stands for what has no piece; without it, it is left out by BPE and an error for Unigram.
    var unknown: String?
    /// A run of unknown characters becomes one token. Unigram models always do so.
    var fuseUnknown = false
    /// Added around a text when special tokens are asked for.
    var prefix: [Int] = []
    var suffix: [Int] = []
    var endOfSequence: Int?
    var beginOfSequence: Int?
    var padding: Int?
}

extension TokenizerDefinition {
    /// Refuses what this version cannot do yet.
    fileprivate func checkSupported() throws(TokenizerError) {
        func refuse(_ what: String) -> TokenizerError {
            .unsupported(path: path, what: what, known: [])
        }
        if model != .bpe { throw refuse("the model \(model.rawValue)") }
        if byteFallback { throw refuse("byte_fallback") }
        if decoders != nil { throw refuse("the decoder") }
        for step in normalizer.steps {
            guard case .nfc = step else { throw refuse("a normalizer other than NFC") }
        }
        for step in steps {
            switch step {
            case .split(.regex, .isolated, false), .digits, .byteLevel: continue
            default: throw refuse("a pre_tokenizer")
            }
        }
        guard case .byteLevel = steps.last else {
            throw refuse("a pre_tokenizer that does not end in ByteLevel")
        }
    }
}

/// A checked tokenizer, shared by all copies of `Tokenizer`.
final class TokenizerCore: Sendable {
    let vocabulary: Vocabulary
    /// Every merge in order of rank, as (left id << 32 | right id).
    let mergeList: [UInt64]
    /// (left id, right id) -> (rank << 32 | merged id).
    let merges: PairTable
    let added: [AddedToken]
    let rawMatcher: AddedTokenMatcher
    let normalizedMatcher: AddedTokenMatcher
    let normalizer: TokenizerDefinition.Normalizer
    let preTokenizer: PreTokenizer
    let ignoreMerges: Bool
    let unknown: UInt32?
    let fuseUnknown: Bool
    let prefix: [UInt32]
    let suffix: [UInt32]
    let endOfSequence: UInt32?
    let beginOfSequence: UInt32?
    let padding: UInt32?
    /// The id of each byte; `UInt32.max` where the vocabulary has none.
    let byteIDs: [UInt32]
    /// The raw bytes of all ids end to end; empty for special tokens and holes.
    let rawBytes: [UInt8]
    let rawOffsets: [Int]
    let specialIDs: Set<UInt32>
    let fingerprint: String

    init(_ definition: TokenizerDefinition) throws(TokenizerError) {
        let path = definition.path
        try definition.checkSupported()
        var added = definition.added
        for id in [definition.endOfSequence, definition.beginOfSequence, definition.padding] {
            // transformers makes these special whether or not the file lists them.
            guard let id else { continue }
            if let index = added.firstIndex(where: { $0.id == id }) {
                added[index].isSpecial = true
            } else if let entry = definition.vocabulary.first(where: { $0.id == id }) {
                added.append(AddedToken(id: id, content: entry.piece))
            } else {
                throw .malformed(
                    path: path,
                    place: "special tokens",
                    reason: "there is no token \(id)"
                )
            }
        }
        added.sort { $0.id < $1.id }
        self.added = added
        vocabulary = try Self.vocabulary(definition, added: added)
        let count = vocabulary.count
        (mergeList, merges) = try Self.merges(definition, vocabulary)
        normalizer = definition.normalizer
        let normalizer = definition.normalizer
        rawMatcher = AddedTokenMatcher(added.filter { !$0.normalized })
        normalizedMatcher = AddedTokenMatcher(
            added.filter(\.normalized).map {
                var token = $0
                token.content = Normalization.apply(normalizer, $0.content)
                return token
            }
        )
        preTokenizer = PreTokenizer(steps: definition.steps)
        ignoreMerges = definition.ignoreMerges
        fuseUnknown = definition.fuseUnknown
        if let piece = definition.unknown {
            guard let id = vocabulary.id(of: piece) else {
                throw .malformed(
                    path: path,
                    place: "model.unk_token",
                    reason: "it is not in the vocabulary"
                )
            }
            unknown = id
        } else {
            unknown = nil
        }
        for id in definition.prefix + definition.suffix where id < 0 || id >= count {
            throw .malformed(
                path: path,
                place: "post_processor",
                reason: "there is no token \(id)"
            )
        }
        prefix = definition.prefix.map(UInt32.init)
        suffix = definition.suffix.map(UInt32.init)
        endOfSequence = definition.endOfSequence.map(UInt32.init)
        beginOfSequence = definition.beginOfSequence.map(UInt32.init)
        padding = definition.padding.map(UInt32.init)
        let vocabulary = self.vocabulary
        byteIDs = ByteAlphabet.scalars.map { vocabulary.id(of: String($0)) ?? .max }
        specialIDs = Set(added.filter(\.isSpecial).map { UInt32($0.id) })
        let plain = Set(added.filter { !$0.isSpecial }.map { UInt32($0.id) })
        var bytes: [UInt8] = []
        var offsets = [0]
        for id in 0..<count {
            if plain.contains(UInt32(id)) {
                bytes.append(contentsOf: vocabulary.utf8(id))
            } else if !specialIDs.contains(UInt32(id)) {
                bytes.append(contentsOf: ByteAlphabet.decode(vocabulary.piece(id)))
            }
            offsets.append(bytes.count)
        }
        rawBytes = bytes
        rawOffsets = offsets
        fingerprint = Fingerprint.of(
            definition,
            added: added,
            vocabulary: vocabulary,
            merges: mergeList
        )
    }

    /// The model's pieces and those added tokens that are not among them.
    private static func vocabulary(
        _ definition: TokenizerDefinition,
        added: [AddedToken]
    ) throws(TokenizerError) -> Vocabulary {
        let base = try Vocabulary(
            definition.vocabulary,
            path: definition.path,
            place: "vocabulary"
        )
        var entries = definition.vocabulary
        var seen = Set<Int>()
        var contents = Set<[UInt8]>()
        for token in added {
            let name = TokenizerError.shortened(token.content)
            func fail(_ reason: String) -> TokenizerError {
                .malformed(
                    path: definition.path,
                    place: "added token \(name)",
                    reason: reason
                )
            }
            guard (1...AddedTokenMatcher.contentLimit).contains(token.content.utf8.count) else {
                throw fail("it is empty or longer than \(AddedTokenMatcher.contentLimit) bytes")
            }
            guard seen.insert(token.id).inserted,
                contents.insert(Array(token.content.utf8)).inserted
            else { throw fail("it stands twice") }
            if let id = base.id(of: token.content) {
                guard Int(id) == token.id else {
                    throw fail("its id is \(token.id), and \(id) in the vocabulary")
                }
            } else {
                entries.append((token.content, token.id))
            }
        }
        guard entries.count > definition.vocabulary.count else { return base }
        return try Vocabulary(entries, path: definition.path, place: "vocabulary and added tokens")
    }

    private static func merges(
        _ definition: TokenizerDefinition,
        _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> ([UInt64], PairTable) {
        var list: [UInt64] = []
        list.reserveCapacity(definition.merges.count)
        var table = PairTable(capacity: definition.merges.count)
        for (rank, merge) in definition.merges.enumerated() {
            func fail(_ reason: String) -> TokenizerError {
                let pair = TokenizerError.shortened("\(merge.left) \(merge.right)")
                return .malformed(
                    path: definition.path,
                    place: "merge \(rank), \(pair)",
                    reason: reason
                )
            }
            guard let left = vocabulary.id(of: merge.left),
                let right = vocabulary.id(of: merge.right),
                let merged = vocabulary.id(of: merge.left + merge.right)
            else { throw fail("a part of it, or its result, is not in the vocabulary") }
            guard table.insert(left, right, UInt64(rank) << 32 | UInt64(merged)) else {
                throw fail("it stands twice")
            }
            list.append(UInt64(left) << 32 | UInt64(right))
        }
        return (list, table)
    }
}

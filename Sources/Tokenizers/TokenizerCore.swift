/// A checked tokenizer, shared by all copies of `Tokenizer`.
final class TokenizerCore: Sendable {
    /// How the pieces of a word are chosen.
    enum Pieces: Sendable {
        /// Merges from single bytes; words are the text's own bytes.
        case bytes
        /// Merges from characters.
        case characters(CharacterIDs)
        case unigram(UnigramModel)
    }

    /// Names the source in errors.
    let path: String
    let vocabulary: Vocabulary
    let pieces: Pieces
    /// By id; empty but in a Unigram model.
    let scores: [Double]
    /// Ids of added tokens that the model itself does not have.
    let addedOnly: Set<UInt32>
    /// Every merge in order of rank, as (left id << 32 | right id).
    let mergeList: [UInt64]
    /// (left id, right id) -> (rank << 32 | merged id).
    let merges: PairTable
    let added: [AddedToken]
    let rawMatcher: AddedTokenMatcher
    let normalizedMatcher: AddedTokenMatcher
    /// What added tokens that are looked for in normalised text are there, by id.
    let normalizedContents: [Int: [UInt8]]
    let normalizer: TokenizerDefinition.Normalizer
    let preTokenizer: PreTokenizer
    /// From pieces to text; nil joins the pieces with spaces.
    let decoders: [DecoderStep]?
    let ignoreMerges: Bool
    /// The id of `<0xNN>` for each byte, `UInt32.max` where there is none; nil without fallback.
    let spelledBytes: [UInt32]?
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
        path = definition.path
        var added = definition.added
        for id in [definition.endOfSequence, definition.beginOfSequence, definition.padding] {
            // An added token with a role is special whatever the file says of it; a piece of the
            // vocabulary stays one, since it may stand in any text.
            guard let id else { continue }
            if let index = added.firstIndex(where: { $0.id == id }) {
                added[index].isSpecial = true
            } else if !definition.vocabulary.contains(where: { $0.id == id }) {
                throw .malformed(
                    path: definition.path,
                    place: "special tokens",
                    reason: "there is no token \(id)"
                )
            }
        }
        added.sort { $0.id < $1.id }
        self.added = added
        vocabulary = try Self.vocabulary(definition, added: added)
        let count = vocabulary.count
        let modelIDs = Set(definition.vocabulary.map { UInt32($0.id) })
        addedOnly = Set(added.map { UInt32($0.id) }).subtracting(modelIDs)
        (mergeList, merges) = try Self.merges(definition, vocabulary)
        normalizer = definition.normalizer
        let normalized = try Self.normalized(added, definition.normalizer)
        rawMatcher = AddedTokenMatcher(normalized.filter { !$0.normalized })
        normalizedMatcher = AddedTokenMatcher(normalized.filter(\.normalized))
        normalizedContents = Dictionary(
            uniqueKeysWithValues: normalized.filter(\.normalized).map {
                ($0.id, Array($0.content.utf8))
            }
        )
        let endsInBytes = if case .byteLevel = definition.steps.last { true } else { false }
        let usesBytes =
            endsInBytes && definition.model == .bpe && !definition.byteFallback
        preTokenizer = PreTokenizer(steps: definition.steps, keepsBytes: usesBytes)
        decoders = definition.decoders ?? (endsInBytes ? [.byteLevel] : nil)
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
        let vocabulary = self.vocabulary
        let modelID: (String) -> UInt32 = { piece in
            guard let id = vocabulary.id(of: piece), modelIDs.contains(id) else { return .max }
            return id
        }
        spelledBytes =
            definition.byteFallback ? (0..<256).map { modelID(SpelledByte.name(UInt8($0))) } : nil
        if definition.model == .unigram {
            let model = try UnigramModel(
                definition.vocabulary,
                scores: definition.scores,
                unknown: unknown,
                path: path
            )
            pieces = .unigram(model)
            var scores = [Double](repeating: 0, count: count)
            for (entry, score) in zip(definition.vocabulary, definition.scores) {
                scores[entry.id] = score
            }
            self.scores = scores
        } else {
            pieces = usesBytes ? .bytes : .characters(CharacterIDs(definition.vocabulary))
            scores = []
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
        byteIDs = ByteAlphabet.scalars.map { modelID(String($0)) }
        specialIDs = Set(added.filter(\.isSpecial).map { UInt32($0.id) })
        (rawBytes, rawOffsets) = Self.rawBytes(
            vocabulary,
            added: added,
            contents: normalizedContents,
            decoders: decoders
        )
        fingerprint = Fingerprint.of(
            definition,
            added: added,
            special: specialIDs,
            vocabulary: vocabulary,
            merges: mergeList,
            scores: scores,
            decoders: decoders
        )
    }

    /// Special tokens, then the others, with those that are looked for in normalised text normalised.
    ///
    /// Where the normaliser makes two alike, the first is the one found.
    private static func normalized(
        _ added: [AddedToken],
        _ normalizer: TokenizerDefinition.Normalizer
    ) throws(TokenizerError) -> [AddedToken] {
        let matcher = try Pattern.Matcher()
        var tokens = added.filter(\.isSpecial) + added.filter { !$0.isSpecial }
        for index in tokens.indices where tokens[index].normalized {
            var content = Array(tokens[index].content.utf8).withUnsafeBufferPointer {
                NormalizedText($0, startsText: true)
            }
            do {
                try normalizer.apply(&content, matcher)
            } catch {
                throw error as? TokenizerError ?? .matchLimit(pattern: "", reason: "\(error)")
            }
            tokens[index].content = String(decoding: content.bytes, as: UTF8.self)
        }
        return tokens
    }

    /// What each id stands for, end to end.
    private static func rawBytes(
        _ vocabulary: Vocabulary,
        added: [AddedToken],
        contents: [Int: [UInt8]],
        decoders: [DecoderStep]?
    ) -> ([UInt8], [Int]) {
        let special = Set(added.filter(\.isSpecial).map(\.id))
        let plain = Set(added.filter { !$0.isSpecial }.map(\.id))
        let isByteLevel = if case .byteLevel? = decoders?.first { true } else { false }
        var bytes: [UInt8] = []
        var offsets = [0]
        offsets.reserveCapacity(vocabulary.count + 1)
        for id in 0..<vocabulary.count {
            if special.contains(id) {
                // No text.
            } else if isByteLevel {
                bytes.append(
                    contentsOf: plain.contains(id)
                        ? contents[id] ?? Array(vocabulary.utf8(id))
                        : ByteAlphabet.decode(vocabulary.piece(id))
                )
            } else {
                let piece = contents[id] ?? Array(vocabulary.utf8(id))
                bytes.append(contentsOf: (decoders ?? []).reduce(piece) { $1.bytes(of: $0) })
            }
            offsets.append(bytes.count)
        }
        return (bytes, offsets)
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

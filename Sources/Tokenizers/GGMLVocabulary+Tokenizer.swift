extension GGMLVocabulary {
    /// A tokenizer as a GGUF file holds it, such that `Tokenizer.init(ggml:)` gives the same ids again.
    ///
    /// - Parameters:
    ///   - rows: Rows of the model's embedding: those without a token get one that never occurs.
    ///   - path: The tokenizer's, for errors.
    /// - Throws: `TokenizerError.unsupported` for a tokenizer that llama.cpp has no name for.
    public init(_ tokenizer: Tokenizer, rows: Int, path: String) throws {
        let core = tokenizer.core
        func unsupported(_ what: String, _ known: [String] = []) -> TokenizerError {
            .unsupported(path: path, what: "in a GGUF file " + what, known: known)
        }
        let kind: GGMLKind
        var pre = "default"
        switch core.pieces {
        case .unigram:
            throw unsupported("a Unigram model", ["byte-level BPE", "SentencePiece's BPE"])
        case .bytes:
            kind = .gpt2
            guard let name = try GGMLPreTokenizer.name(of: core) else {
                throw unsupported(
                    "a way of cutting words that llama.cpp has no name for",
                    GGMLPreTokenizer.writtenNames
                )
            }
            pre = name
        case .characters:
            kind = .llama
            guard core.spelledBytes != nil else {
                throw unsupported("a BPE of characters without byte fallback")
            }
        }
        self.init(
            model: kind.rawValue,
            pre: pre,
            tokens: Self.tokens(core, rows: rows),
            tokenTypes: Self.types(core, rows: rows),
            merges: kind == .gpt2
                ? core.mergeList.map {
                    core.vocabulary.piece(Int($0 >> 32)) + " "
                        + core.vocabulary.piece(Int($0 & 0xFFFF_FFFF))
                } : [],
            // Whatever stands around a text is the begin and the end token there.
            bos: (core.prefix.first ?? core.beginOfSequence).map { Int($0) },
            eos: (core.suffix.first ?? core.endOfSequence).map { Int($0) },
            unknown: core.unknown.map { Int($0) },
            addBOS: !core.prefix.isEmpty
        )
        self.path = path
        addEOS = !core.suffix.isEmpty
        for (around, role) in [
            (core.prefix, core.beginOfSequence), (core.suffix, core.endOfSequence),
        ] {
            guard around.count < 2, around.isEmpty || role == nil || around.first == role else {
                throw unsupported("other tokens around a text than begin and end")
            }
        }
        if kind == .llama {
            scores = Self.scores(core, rows: rows)
            addSpacePrefix = core.putsSpaceInFront
        }
        // Whatever was not thought of shows here, and not in wrong ids later.
        let again = try Tokenizer(ggml: self).core
        guard again.mergeList == core.mergeList, again.specialIDs == core.specialIDs,
            kind == .gpt2 || core.normalizedText != nil
        else { throw unsupported("merges or steps that it cannot hold") }
    }

    private static func tokens(_ core: TokenizerCore, rows: Int) -> [String] {
        var used = Set((0..<core.vocabulary.count).map { Array(core.vocabulary.utf8($0)) })
        return (0..<max(rows, core.vocabulary.count)).map { id in
            if id < core.vocabulary.count, !core.vocabulary.isHole(id) {
                return core.vocabulary.piece(id)
            }
            var name = "[PAD\(id)]"
            while !used.insert(Array(name.utf8)).inserted { name += "_" }
            return name
        }
    }

    private static func types(_ core: TokenizerCore, rows: Int) -> [Int32] {
        var types = (0..<max(rows, core.vocabulary.count)).map { id -> Int32 in
            id < core.vocabulary.count && !core.vocabulary.isHole(id) ? 1 : 5
        }
        for id in core.spelledBytes ?? [] where id != .max { types[Int(id)] = 6 }
        for token in core.added { types[token.id] = token.isSpecial ? 3 : 4 }
        if let unknown = core.unknown { types[Int(unknown)] = 2 }
        return types
    }

    /// SentencePiece merges the pair whose piece scores highest, so a piece's score is the rank of its
    /// first merge, negated; pieces whose merges lie among each other's had one score, and get one.
    private static func scores(_ core: TokenizerCore, rows: Int) -> [Float] {
        let merged = core.mergeList.map {
            core.merges.value(UInt32($0 >> 32), UInt32(truncatingIfNeeded: $0)) & 0xFFFF_FFFF
        }
        var last: [UInt64: Int] = [:]
        for (rank, id) in merged.enumerated() { last[id] = rank }
        var scores = [Float](
            repeating: -Float(core.mergeList.count),
            count: max(rows, core.vocabulary.count)
        )
        var (start, end) = (0, -1)
        for (rank, id) in merged.enumerated() {
            if rank > end { start = rank }
            end = max(end, last[id] ?? rank)
            scores[Int(id)] = -Float(start)
        }
        return scores
    }
}

extension Tokenizer {
    /// Added tokens that are found by more than their own letters in the text (white space and letters beside
    /// them, the text's normal form): GGUF files have no place for that.
    public var conditionalTokens: [String] {
        let normalizer = core.normalizer
        return core.added.filter { token in
            let changes =
                !normalizer.steps.isEmpty
                && !(normalizer.isNFC && token.content.utf8.allSatisfy { $0 < 0x80 })
            return token.singleWord || token.stripLeft || token.stripRight
                || token.normalized && changes
        }.map(\.content)
    }
}

extension GGMLPreTokenizer {
    /// The names that are written: of names that mean the same, the first.
    static let writtenNames = [
        "gpt-2", "olmo", "smollm", "command-r", "qwen2", "qwen35", "stablelm2", "llama-bpe",
        "smaug-bpe", "gpt-4o", "tekken", "bloom", "deepseek-coder", "deepseek-llm", "falcon",
    ]

    /// The name of the steps that a tokenizer has; nil when they have none.
    static func name(of core: TokenizerCore) throws -> String? {
        try writtenNames.first { name in
            let named = try GGMLPreTokenizer(name, architecture: "")
            return named.ignoresMerges == core.ignoreMerges
                && JSONText.text(named.normalizer.json) == JSONText.text(core.normalizer.json)
                && named.steps.map { JSONText.text($0.json) }
                    == core.preTokenizer.steps.map { JSONText.text($0.json) }
        }
    }
}

extension TokenizerCore {
    /// What becomes of a text before the merges of the `llama` kind, in words to compare: spaces as marks,
    /// perhaps one more in front.
    fileprivate var normalizedText: String? {
        let mark: Unicode.Scalar = "\u{2581}"
        let replace = NormalizerStep.replace(.literal(" "), with: String(mark))
        func isReplace(_ step: NormalizerStep) -> Bool {
            JSONText.text(step.json) == JSONText.text(replace.json)
        }
        let steps = normalizer.steps
        if preTokenizer.steps.isEmpty {
            if steps.count == 1, isReplace(steps[0]) { return "plain" }
            if steps.count == 2, case .prepend(String(mark)) = steps[0], isReplace(steps[1]) {
                return "prefixed"
            }
        }
        if steps.isEmpty, preTokenizer.steps.count == 1,
            case .metaspace(mark, let scheme, split: false) = preTokenizer.steps[0]
        {
            // llama.cpp puts the space after special tokens too, as "always" does.
            return scheme == .never ? "plain" : "prefixed"
        }
        return nil
    }

    fileprivate var putsSpaceInFront: Bool { normalizedText == "prefixed" }
}

/// The kinds of tokenizer that GGUF files hold, by `tokenizer.ggml.model`.
enum GGMLKind: String, CaseIterable {
    /// Byte-level BPE.
    case gpt2
    /// SentencePiece's BPE: scores in place of merges, spaces as "▁", bytes for what has no piece.
    case llama
    /// Gemma 4's: like `llama`, with its merges written out.
    case gemma4

    func definition(_ ggml: GGMLVocabulary) throws -> TokenizerDefinition {
        switch self {
        case .gpt2: try Self.byteLevel(ggml)
        case .llama, .gemma4: try sentencePiece(ggml)
        }
    }

    private static func byteLevel(_ ggml: GGMLVocabulary) throws -> TokenizerDefinition {
        let pre = try GGMLPreTokenizer(ggml.pre, architecture: ggml.architecture)
        var definition = TokenizerDefinition(
            path: ggml.path,
            vocabulary: ggml.tokens.enumerated().map { ($0.element, $0.offset) },
            merges: try merges(ggml),
            added: added(ggml),
            normalizer: pre.normalizer,
            steps: pre.steps,
            ignoreMerges: pre.ignoresMerges
        )
        setRoles(ggml, beginsByDefault: pre.begins, &definition)
        return definition
    }

    private func sentencePiece(_ ggml: GGMLVocabulary) throws -> TokenizerDefinition {
        var ggml = ggml
        // What llama.cpp takes where a file is silent.
        ggml.bos = ggml.bos ?? 1
        ggml.eos = ggml.eos ?? 2
        ggml.unknown = ggml.unknown ?? 0
        let isGemma = self == .gemma4 || ["gemma", "gemma2", "gemma3"].contains(ggml.architecture)
        if isGemma {
            // Runs of spaces stand there as spaces, and their merges are those of marks.
            for (id, token) in ggml.tokens.enumerated()
            where !token.isEmpty && token.utf8.allSatisfy({ $0 == 0x20 }) {
                ggml.tokens[id] = String(repeating: "\u{2581}", count: token.utf8.count)
                if id < ggml.tokenTypes.count { ggml.tokenTypes[id] = 1 }
            }
        }
        let hasPrefix = !isGemma && ggml.addSpacePrefix ?? true
        let vocabulary = ggml.tokens.enumerated().map { (piece: $0.element, id: $0.offset) }
        var added = Self.added(ggml)
        if ggml.architecture == "phi3" {
            // As in Phi-3's tokenizer.json, which a GGUF file does not carry.
            let exceptions = ["<unk>", "<s>", "<|endoftext|>"]
            for index in added.indices where !exceptions.contains(added[index].content) {
                added[index].stripRight = true
            }
        }
        let mark = TextPattern.literal("\u{2581}")
        var definition = TokenizerDefinition(
            path: ggml.path,
            vocabulary: vocabulary,
            merges: try ggml.merges.isEmpty
                ? DerivedMerges(vocabulary, path: ggml.path).ranked(
                    // Gemma's scores do not follow the order of its merges; its ids do.
                    by: isGemma ? [] : ggml.scores
                ) : Self.merges(ggml),
            added: added,
            normalizer: .init(
                (hasPrefix ? [.prepend("\u{2581}")] : [])
                    + [.replace(.literal(" "), with: "\u{2581}")]
            ),
            steps: [],
            decoders: [.replace(mark, with: " "), .byteFallback, .fuse]
                + (hasPrefix ? [.strip(" ", start: 1, stop: 0)] : []),
            byteFallback: true,
            unknown: ggml.unknown.flatMap { id in
                ggml.tokens.indices.contains(id) ? ggml.tokens[id] : nil
            },
            fuseUnknown: true
        )
        // Gemma 4's own tokenizer leaves the begin token to its chat template, whatever the file says.
        if self == .gemma4 { ggml.addBOS = false }
        Self.setRoles(ggml, beginsByDefault: true, &definition)
        return definition
    }

    private static func merges(
        _ ggml: GGMLVocabulary
    ) throws -> [(left: String, right: String)] {
        try ggml.merges.enumerated().map { rank, line in
            try MergeLine.parse(line, path: ggml.path, place: "tokenizer.ggml.merges[\(rank)]")
        }
    }

    /// Control tokens are special, user-defined ones are not; both are found in the text itself.
    ///
    /// Of the tokens of type "unknown" only the unknown token is one: files fill holes with that type too.
    private static func added(_ ggml: GGMLVocabulary) -> [AddedToken] {
        zip(ggml.tokens, ggml.tokenTypes).enumerated().compactMap { id, entry in
            switch entry.1 {
            case 3: AddedToken(id: id, content: entry.0)
            case 2 where id == ggml.unknown: AddedToken(id: id, content: entry.0)
            case 4: AddedToken(id: id, content: entry.0, isSpecial: false)
            default: nil
            }
        }
    }

    private static func setRoles(
        _ ggml: GGMLVocabulary,
        beginsByDefault: Bool,
        _ definition: inout TokenizerDefinition
    ) {
        // Ids without a token say nothing. The padding id, often 0 for want of one, is not read.
        let bos = ggml.bos.flatMap { ggml.tokens.indices.contains($0) ? $0 : nil }
        let eos = ggml.eos.flatMap { ggml.tokens.indices.contains($0) ? $0 : nil }
        if ggml.addBOS ?? beginsByDefault, let bos { definition.prefix = [bos] }
        if ggml.addEOS ?? false, let eos { definition.suffix = [eos] }
        definition.endOfSequence = eos
        definition.beginOfSequence = bos
    }
}

/// A merge written as two pieces with one space between.
enum MergeLine {
    static func parse(
        _ line: String,
        path: String,
        place: String
    ) throws(TokenizerError) -> (left: String, right: String) {
        let parts = line.utf8.split(
            separator: UInt8(ascii: " "),
            omittingEmptySubsequences: false
        )
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
            let left = String(parts[0]), let right = String(parts[1])
        else {
            throw .malformed(
                path: path,
                place: place,
                reason: "\(TokenizerError.shortened(line)) is not two pieces and one space"
            )
        }
        return (left, right)
    }
}

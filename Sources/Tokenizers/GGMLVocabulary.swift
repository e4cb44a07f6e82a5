/// A tokenizer as a GGUF file holds it, under the keys `tokenizer.ggml.*`.
public struct GGMLVocabulary: Sendable {
    /// `tokenizer.ggml.model`, the kind of tokenizer: `"gpt2"` is byte-level BPE.
    public var model: String
    /// `tokenizer.ggml.pre`: how text is cut into words.
    public var pre: String
    /// `tokenizer.ggml.tokens`, by id.
    public var tokens: [String]
    /// `tokenizer.ggml.token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused.
    ///
    /// Empty when the file has none; then all are normal.
    public var tokenTypes: [Int32]
    /// `tokenizer.ggml.merges`, each two pieces with a space between.
    public var merges: [String]
    /// `tokenizer.ggml.bos_token_id`.
    public var bos: Int?
    /// `tokenizer.ggml.eos_token_id`.
    public var eos: Int?
    /// `tokenizer.ggml.unknown_token_id`; byte-level BPE has no use for it.
    public var unknown: Int?
    /// `tokenizer.ggml.padding_token_id`.
    public var padding: Int?
    /// `tokenizer.ggml.add_bos_token`.
    public var addBOS: Bool

    /// Takes what the file says, unchecked; `Tokenizer.init(ggml:)` checks.
    public init(
        model: String,
        pre: String,
        tokens: [String],
        tokenTypes: [Int32],
        merges: [String],
        bos: Int? = nil,
        eos: Int? = nil,
        unknown: Int? = nil,
        padding: Int? = nil,
        addBOS: Bool = false
    ) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.tokenTypes = tokenTypes
        self.merges = merges
        self.bos = bos
        self.eos = eos
        self.unknown = unknown
        self.padding = padding
        self.addBOS = addBOS
    }
}

extension Tokenizer {
    /// The values of `tokenizer.ggml.pre` that are understood.
    public static let knownGGMLPreTokenizers = ["gpt-2", "llama-bpe", "qwen2", "smollm"]

    /// Builds a tokenizer from what a GGUF file holds.
    ///
    /// A GGUF file only names its pre-tokeniser. The steps behind each name are those of the model's
    /// own `tokenizer.json` (so `qwen2` composes to NFC first, which llama.cpp leaves out), and ids
    /// are the same as Hugging Face's.
    ///
    /// - Throws: `TokenizerError.unknownName` for another model or pre-tokeniser, `.malformed` for
    ///   duplicates, unknown ids and merges outside the vocabulary.
    public init(ggml: GGMLVocabulary) throws {
        let path = "the GGUF file"
        guard ggml.model == "gpt2" else {
            throw Names.unknown(ggml.model, of: ["gpt2"], kind: "tokenizer.ggml.model")
        }
        var normalizer = TokenizerDefinition.Normalizer.none
        var ignoreMerges = false
        let steps: [PreTokenizerStep]
        switch ggml.pre {
        case "gpt-2":
            steps = [try .byteLevel(useRegex: true)]
        case "smollm":
            steps = [try .digits(individual: true), try .byteLevel(useRegex: true)]
        case "qwen2":
            normalizer = .nfc
            steps = [
                .split(try Pattern(KnownPatterns.qwen2)), try .byteLevel(useRegex: false),
            ]
        case "llama-bpe":
            ignoreMerges = true
            steps = [
                .split(try Pattern(KnownPatterns.llama3)), try .byteLevel(useRegex: false),
            ]
        default:
            throw Names.unknown(
                ggml.pre,
                of: Self.knownGGMLPreTokenizers,
                kind: "tokenizer.ggml.pre"
            )
        }
        guard ggml.tokenTypes.isEmpty || ggml.tokenTypes.count == ggml.tokens.count else {
            throw TokenizerError.malformed(
                path: path,
                place: "tokenizer.ggml.token_type",
                reason: "\(ggml.tokenTypes.count) types for \(ggml.tokens.count) tokens"
            )
        }
        let added = zip(ggml.tokens, ggml.tokenTypes).enumerated().compactMap {
            id,
            entry -> AddedToken? in
            switch entry.1 {
            case 2, 3: AddedToken(id: id, content: entry.0)
            case 4: AddedToken(id: id, content: entry.0, isSpecial: false)
            default: nil
            }
        }
        let merges = try ggml.merges.enumerated().map { rank, line in
            try MergeLine.parse(line, path: path, place: "tokenizer.ggml.merges[\(rank)]")
        }
        var prefix: [Int] = []
        if ggml.addBOS, let bos = ggml.bos { prefix = [bos] }
        try self.init(
            TokenizerDefinition(
                path: path,
                vocabulary: ggml.tokens.enumerated().map { ($0.element, $0.offset) },
                merges: merges,
                added: added,
                normalizer: normalizer,
                steps: steps,
                ignoreMerges: ignoreMerges,
                prefix: prefix,
                endOfSequence: ggml.eos,
                beginOfSequence: ggml.bos,
                padding: ggml.padding
            )
        )
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

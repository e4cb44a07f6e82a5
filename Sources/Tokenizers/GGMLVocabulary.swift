/// A tokenizer as a GGUF file holds it, under the keys `tokenizer.ggml.*`.
public struct GGMLVocabulary: Sendable {
    /// The file, as errors name it.
    public var path = "the GGUF file"
    /// `general.architecture`: families write the same kind of vocabulary in ways of their own.
    public var architecture = ""
    /// `tokenizer.ggml.model`, the kind of tokenizer: `"gpt2"` is byte-level BPE, `"llama"` SentencePiece's.
    public var model: String
    /// `tokenizer.ggml.pre`: how text is cut into words; nil and `"default"` say nothing of it.
    public var pre: String?
    /// `tokenizer.ggml.tokens`, by id.
    public var tokens: [String]
    /// `tokenizer.ggml.token_type`, by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte.
    ///
    /// Empty when the file has none; then all are normal.
    public var tokenTypes: [Int32]
    /// `tokenizer.ggml.scores`, by id: what the `llama` kind ranks its merges by; empty when there are none.
    public var scores: [Float] = []
    /// `tokenizer.ggml.merges`, each two pieces with a space between.
    public var merges: [String]
    /// `tokenizer.ggml.bos_token_id`.
    public var bos: Int?
    /// `tokenizer.ggml.eos_token_id`.
    public var eos: Int?
    /// `tokenizer.ggml.unknown_token_id`; byte-level BPE has no use for it.
    public var unknown: Int?
    /// `tokenizer.ggml.add_bos_token`; nil leaves it to the kind.
    public var addBOS: Bool?
    /// `tokenizer.ggml.add_eos_token`; nil leaves it to the kind.
    public var addEOS: Bool?
    /// `tokenizer.ggml.add_space_prefix`, of the `llama` kind; nil means yes.
    public var addSpacePrefix: Bool?

    /// Takes what the file says, unchecked; `Tokenizer.init(ggml:)` checks.
    public init(
        model: String,
        pre: String?,
        tokens: [String],
        tokenTypes: [Int32],
        merges: [String],
        bos: Int? = nil,
        eos: Int? = nil,
        unknown: Int? = nil,
        addBOS: Bool? = nil
    ) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.tokenTypes = tokenTypes
        self.merges = merges
        self.bos = bos
        self.eos = eos
        self.unknown = unknown
        self.addBOS = addBOS
    }
}

extension Tokenizer {
    /// Builds a tokenizer from what a GGUF file holds.
    ///
    /// A GGUF file only names its pre-tokeniser. The steps behind each name are those of the model's
    /// own `tokenizer.json` (so `qwen2` composes to NFC first, which llama.cpp leaves out), and ids
    /// are the same as Hugging Face's.
    ///
    /// - Throws: `TokenizerError.unsupported` for another kind, `.unknownName` for another
    ///   pre-tokeniser, `.malformed` for
    ///   duplicates, unknown ids and merges outside the vocabulary.
    public init(ggml: GGMLVocabulary) throws {
        let count = ggml.tokens.count
        for (name, found) in [
            ("token_type", ggml.tokenTypes.count), ("scores", ggml.scores.count),
        ] where found != 0 && found != count {
            throw TokenizerError.malformed(
                path: ggml.path,
                place: "tokenizer.ggml.\(name)",
                reason: "\(found) of them for \(count) tokens"
            )
        }
        guard let kind = GGMLKind(rawValue: ggml.model) else {
            throw TokenizerError.unsupported(
                path: ggml.path,
                what: "tokenizer.ggml.model \(TokenizerError.shortened(ggml.model))",
                known: GGMLKind.allCases.map(\.rawValue)
            )
        }
        try self.init(kind.definition(ggml))
    }
}

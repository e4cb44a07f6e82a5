/// How text is cut into words, by the name that a GGUF file gives it in `tokenizer.ggml.pre`.
///
/// Each name stands for the steps of the `tokenizer.json` that the models of that name were published
/// with; where llama.cpp leaves something out of them (NFC, say), they are followed and not llama.cpp.
struct GGMLPreTokenizer {
    var normalizer = TokenizerDefinition.Normalizer.none
    var steps: [PreTokenizerStep]
    /// A word that is itself a piece is taken whole.
    var ignoresMerges = false
    /// Whether a text begins with the begin token when the file does not say.
    var begins = false

    /// The names that are understood, and names that mean the same.
    static let names = [
        "bloom", "command-r", "dbrx", "deepseek-coder", "deepseek-llm", "deepseek-r1-qwen",
        "default", "falcon", "falcon3", "gpt-2", "gpt-4o", "llama-bpe", "llama-v3", "llama3",
        "llama4", "mpt", "olmo", "phi-2", "qwen2", "qwen35", "refact", "smaug-bpe", "smollm",
        "stablelm2", "starcoder", "tekken",
    ]

    /// - Parameters:
    ///   - name: Nil and "default" leave it to the architecture.
    ///   - architecture: `general.architecture`.
    /// - Throws: `TokenizerError.unknownName`.
    init(_ name: String?, architecture: String) throws {
        let name = name ?? "default"
        switch name {
        case "gpt-2", "phi-2":
            steps = [try .byteLevel(useRegex: true)]
        case "mpt", "olmo":
            normalizer = .nfc
            steps = [try .byteLevel(useRegex: true)]
        case "smollm", "starcoder", "refact":
            steps = [try .digits(individual: true), try .byteLevel(useRegex: true)]
        case "command-r":
            normalizer = .nfc
            steps = [try .digits(individual: true), try .byteLevel(useRegex: true)]
        case "qwen2", "deepseek-r1-qwen":
            normalizer = .nfc
            steps = try Self.cut(KnownPatterns.qwen2)
        case "qwen35":
            normalizer = .nfc
            steps = try Self.cut(GGMLPatterns.qwen35)
        case "stablelm2":
            steps = try Self.cut(KnownPatterns.qwen2)
        case "llama-bpe", "llama3", "llama-v3", "falcon3":
            (ignoresMerges, begins) = (true, true)
            steps = try Self.cut(KnownPatterns.llama3)
        case "dbrx", "smaug-bpe":
            steps = try Self.cut(KnownPatterns.llama3)
        case "gpt-4o", "llama4":
            steps = try Self.cut(GGMLPatterns.gpt4o)
        case "tekken":
            (ignoresMerges, begins) = (true, true)
            steps = try Self.cut(GGMLPatterns.tekken)
        case "bloom":
            steps = try Self.cut(GGMLPatterns.bloom)
        case "deepseek-coder":
            steps = try Self.cut(
                #"[\r\n]"#,
                #"\s?\p{L}+"#,
                #"\s?\p{P}+"#,
                GGMLPatterns.eastAsian,
                #"\p{N}"#
            )
        case "deepseek-llm":
            steps = try Self.cut(
                #"[\r\n]"#,
                GGMLPatterns.alphabets,
                GGMLPatterns.wideMarks,
                #"\s+$"#,
                GGMLPatterns.eastAsian,
                #"\p{N}"#
            )
        case "falcon":
            // Its tokenizer.json cuts numbers after the step to bytes, which comes to the same for
            // ASCII digits; the merges hold no piece in which it would matter for others.
            steps = try Self.cut(
                GGMLPatterns.marks + "`]+",
                KnownPatterns.gpt2,
                "[0-9]+",
                "[0-9][0-9][0-9]"
            )
        case "default" where architecture == "gptneox":
            self = try GGMLPreTokenizer("olmo", architecture: "")
        case "default" where architecture == "gpt2":
            self = try GGMLPreTokenizer("gpt-2", architecture: "")
        case "default" where architecture == "falcon":
            self = try GGMLPreTokenizer("falcon", architecture: "")
        case "default":
            // What llama.cpp falls back to; there is nothing better to follow.
            steps = try Self.cut(
                GGMLPatterns.marks + "]+",
                KnownPatterns.gpt2,
                #"\p{N}+"#,
                "[0-9][0-9][0-9]"
            )
        default:
            throw Names.unknown(name, of: Self.names, kind: "tokenizer.ggml.pre")
        }
    }

    /// Cuts at the matches of one pattern after the other, then to bytes.
    private static func cut(_ patterns: String...) throws -> [PreTokenizerStep] {
        try patterns.map { .split(try Pattern($0)) } + [.byteLevel(useRegex: false)]
    }
}

/// Patterns of single families, as their `tokenizer.json` files have them.
private enum GGMLPatterns {
    static let qwen35 =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"#
        + #" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    private static let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    private static let lead = #"[^\r\n\p{L}\p{N}]?"#
    private static let rest =
        #" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let ending = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
    static let tekken =
        "\(lead)\(upper)*\(lower)+|\(lead)\(upper)+\(lower)*|" + #"\p{N}|"# + rest
    static let gpt4o =
        "\(lead)\(upper)*\(lower)+\(ending)|\(lead)\(upper)+\(lower)*\(ending)|"
        + #"\p{N}{1,3}|"# + rest
    static let bloom = #" ?[^(\s|.,!?…。，、।۔،)]+"#
    /// Punctuation and the symbols of ASCII, less "`": without the end of the class.
    static let marks = #"[\p{P}$+<=>^|~"#
    static let eastAsian = #"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"#
    static let wideMarks =
        #"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}"#
        + #"\x{3000}-\x{3002}]+"#
    /// The letters with two cases of DeepSeek's first tokenizer.
    static let alphabets =
        #"\s?["#
        + #"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}"#
        + #"\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}"#
        + #"\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}"#
        + #"\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"#
        + #"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}"#
        + #"\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}"#
        + #"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}"#
        + #"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"#
        + #"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"#
        + #"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}"#
        + #"\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}"#
        + #"\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}"#
        + #"\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}"#
        + #"\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}"#
        + #"\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}"#
        + #"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}"#
        + #"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"#
        + #"\x{1E900}-\x{1E943}"#
        + "]+"
}

/// Normalisers, pre-tokenisers and decoders: sequences of steps, each with its `type`.
extension TokenizerFile {
    /// The steps that `value` holds, with sequences inside sequences made flat.
    ///
    /// The reader of JSON bounds how deep they may nest.
    private func flat(
        _ value: JSONValue,
        _ key: String,
        place: String,
        _ body: (JSONValue, String, _ type: String) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        if value.isNull { return }
        guard let type = value["type"]?.stringValue else {
            throw malformed("\(place).type", "a string was expected")
        }
        guard type == "Sequence" else { return try body(value, place, type) }
        for (index, item) in try list(value, key, place: place).enumerated() {
            try flat(item, key, place: "\(place)[\(index)]", body)
        }
    }

    func list(
        _ value: JSONValue,
        _ key: String,
        place: String
    ) throws(TokenizerError) -> [JSONValue] {
        guard let items = value[key]?.arrayValue else {
            throw malformed("\(place).\(key)", "an array was expected")
        }
        return items
    }

    private func checkCount(_ count: Int, place: String) throws(TokenizerError) {
        guard count <= Self.stepLimit else {
            throw malformed(place, "more than \(Self.stepLimit) steps")
        }
    }

    private func text(
        _ value: JSONValue,
        _ key: String,
        place: String
    ) throws(TokenizerError) -> String {
        guard let text = value[key]?.stringValue else {
            throw malformed("\(place).\(key)", "a string was expected")
        }
        return text
    }

    private func character(
        _ value: JSONValue,
        _ key: String,
        place: String
    ) throws(TokenizerError) -> Unicode.Scalar {
        let scalars = try text(value, key, place: place).unicodeScalars
        guard let first = scalars.first, scalars.count == 1 else {
            throw malformed("\(place).\(key)", "one character was expected")
        }
        return first
    }

    private func pattern(
        _ value: JSONValue,
        place: String
    ) throws(TokenizerError) -> TextPattern {
        if let regex = value["pattern"]?["Regex"]?.stringValue {
            return .regex(try Pattern(regex))
        }
        guard let literal = value["pattern"]?["String"]?.stringValue else {
            throw malformed("\(place).pattern", "String or Regex was expected")
        }
        guard (1...TextPattern.literalLimit).contains(literal.utf8.count) else {
            throw malformed(
                "\(place).pattern",
                "it is empty or longer than \(TextPattern.literalLimit) bytes"
            )
        }
        return .literal(literal)
    }

    // MARK: Normalisers

    static let knownNormalizers = [
        "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend",
        "Precompiled", "Nmt", "Sequence",
    ]

    func normalizer(
        _ value: JSONValue
    ) throws(TokenizerError) -> TokenizerDefinition.Normalizer {
        var steps: [NormalizerStep] = []
        try flat(value, "normalizers", place: "normalizer") {
            (item, place, type) throws(TokenizerError) in
            if let step = try normalizerStep(item, type, place: place) { steps.append(step) }
            try checkCount(steps.count, place: "normalizer")
        }
        return TokenizerDefinition.Normalizer(steps)
    }

    private func normalizerStep(
        _ value: JSONValue,
        _ type: String,
        place: String
    ) throws(TokenizerError) -> NormalizerStep? {
        switch type {
        case "NFC": return .nfc
        case "NFD": return .nfd
        case "NFKC": return .nfkc
        case "NFKD": return .nfkd
        case "Lowercase": return .lowercase
        case "StripAccents": return .stripAccents
        case "Nmt": return .nmt
        case "Strip":
            return .strip(
                left: try bool(value, "strip_left", place: place),
                right: try bool(value, "strip_right", place: place)
            )
        case "Replace":
            return .replace(
                try pattern(value, place: place),
                with: try text(value, "content", place: place)
            )
        case "Prepend": return .prepend(try text(value, "prepend", place: place))
        case "Precompiled":
            // T5's first files have a table without anything in it.
            if value["precompiled_charsmap"]?.isNull == true { return nil }
            let base64 = try text(value, "precompiled_charsmap", place: place)
            if base64.isEmpty { return nil }
            guard let blob = Base64.decode(base64) else {
                throw malformed("\(place).precompiled_charsmap", "it is not base64")
            }
            return .precompiled(try CharacterMap(blob: blob, path: path))
        default:
            throw unsupported(
                "the normalizer \(TokenizerError.shortened(type))",
                known: ["null"] + Self.knownNormalizers
            )
        }
    }

    // MARK: Pre-tokenisers

    static let knownPreTokenizers = [
        "ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split", "Whitespace",
        "WhitespaceSplit",
    ]

    func steps(_ value: JSONValue) throws(TokenizerError) -> [PreTokenizerStep] {
        var steps: [PreTokenizerStep] = []
        try flat(value, "pretokenizers", place: "pre_tokenizer") {
            (item, place, type) throws(TokenizerError) in
            steps.append(try step(item, type, place: place))
            try checkCount(steps.count, place: "pre_tokenizer")
            let byteLevels = steps.count { if case .byteLevel = $0 { true } else { false } }
            // Each of them doubles what is not ASCII.
            guard byteLevels <= 1 else {
                throw unsupported("a pre_tokenizer with more than one ByteLevel step", known: [])
            }
        }
        return steps
    }

    private func step(
        _ value: JSONValue,
        _ type: String,
        place: String
    ) throws(TokenizerError) -> PreTokenizerStep {
        switch type {
        case "Digits":
            return try .digits(individual: try bool(value, "individual_digits", place: place))
        case "ByteLevel":
            return try .byteLevel(
                addPrefixSpace: try bool(value, "add_prefix_space", place: place, absent: true),
                useRegex: try bool(value, "use_regex", place: place, absent: true)
            )
        case "Split":
            return .split(
                try pattern(value, place: place),
                try behavior(value["behavior"] ?? .null, place: place),
                invert: try bool(value, "invert", place: place)
            )
        case "Metaspace":
            let (mark, scheme) = try metaspace(value, place: place)
            return .metaspace(
                mark,
                scheme,
                split: try bool(value, "split", place: place, absent: true)
            )
        case "Whitespace": return .whitespace
        case "WhitespaceSplit": return .whitespaceSplit
        case "Punctuation":
            return .punctuation(try behavior(value["behavior"] ?? "Isolated", place: place))
        default:
            throw unsupported(
                "the pre_tokenizer \(TokenizerError.shortened(type))",
                known: Self.knownPreTokenizers
            )
        }
    }

    private func behavior(
        _ value: JSONValue,
        place: String
    ) throws(TokenizerError) -> SplitBehavior {
        guard let behavior = value.stringValue.flatMap(SplitBehavior.init) else {
            throw unsupported(
                "\(place).behavior \(name(value))",
                known: [
                    "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous",
                ]
            )
        }
        return behavior
    }

    private func metaspace(
        _ value: JSONValue,
        place: String
    ) throws(TokenizerError) -> (Unicode.Scalar, PrependScheme) {
        let mark = try character(value, "replacement", place: place)
        let declared = value["prepend_scheme"] ?? .null
        // Before 2024 the scheme was a boolean.
        let space = try bool(value, "add_prefix_space", place: place, absent: true)
        if declared.isNull { return (mark, space ? .always : .never) }
        guard let scheme = declared.stringValue.flatMap(PrependScheme.init) else {
            throw unsupported(
                "\(place).prepend_scheme \(name(declared))",
                known: ["always", "first", "never"]
            )
        }
        guard space || scheme == .never else {
            throw malformed("\(place).add_prefix_space", "it contradicts prepend_scheme")
        }
        return (mark, scheme)
    }

    // MARK: Decoders

    static let knownDecoders = [
        "ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace", "Sequence",
    ]

    func decoders(_ value: JSONValue) throws(TokenizerError) -> [DecoderStep]? {
        if value.isNull { return nil }
        var steps: [DecoderStep] = []
        try flat(value, "decoders", place: "decoder") {
            (item, place, type) throws(TokenizerError) in
            steps.append(try decoder(item, type, place: place))
            try checkCount(steps.count, place: "decoder")
        }
        guard Growth.factor(steps) <= Double(Growth.times) else {
            throw unsupported(
                "a decoder that may make a text more than \(Growth.times) times as long",
                known: []
            )
        }
        return steps
    }

    private func decoder(
        _ value: JSONValue,
        _ type: String,
        place: String
    ) throws(TokenizerError) -> DecoderStep {
        switch type {
        case "ByteLevel": return .byteLevel
        case "ByteFallback": return .byteFallback
        case "Fuse": return .fuse
        case "Strip":
            return .strip(
                try character(value, "content", place: place),
                start: try count(value, "start", place: place),
                stop: try count(value, "stop", place: place)
            )
        case "Replace":
            return .replace(
                try pattern(value, place: place),
                with: try text(value, "content", place: place)
            )
        case "Metaspace":
            let (mark, scheme) = try metaspace(value, place: place)
            return .metaspace(mark, scheme)
        default:
            throw unsupported(
                "the decoder \(TokenizerError.shortened(type))",
                known: ["null"] + Self.knownDecoders
            )
        }
    }

    private func count(
        _ value: JSONValue,
        _ key: String,
        place: String
    ) throws(TokenizerError) -> Int {
        guard let count = value[key]?.integerValue, (0...1_024).contains(count) else {
            throw malformed("\(place).\(key)", "a number in 0...1024 was expected")
        }
        return count
    }
}

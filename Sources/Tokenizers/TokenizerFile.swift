/// Reads the parts of a `tokenizer.json` into a definition.
struct TokenizerFile {
    let path: String

    static let knownPreTokenizers = ["ByteLevel", "Digits", "Sequence", "Split"]
    static let stepLimit = 32

    private func malformed(_ place: String, _ reason: String) -> TokenizerError {
        .malformed(path: path, place: place, reason: reason)
    }

    private func unsupported(_ what: String, known: [String] = []) -> TokenizerError {
        .unsupported(path: path, what: what, known: known)
    }

    func definition(_ root: JSONValue) throws(TokenizerError) -> TokenizerDefinition {
        guard let model = root["model"], model.objectValue != nil else {
            throw malformed("model", "there is no such object")
        }
        try checkModel(model)
        var definition = TokenizerDefinition(
            path: path,
            vocabulary: try vocabulary(model["vocab"] ?? .null),
            merges: try merges(model["merges"] ?? .null),
            added: try added(root["added_tokens"] ?? .null),
            normalizer: try normalizer(root["normalizer"] ?? .null),
            steps: try steps(root["pre_tokenizer"] ?? .null)
        )
        definition.ignoreMerges = try bool(model, "ignore_merges", place: "model")
        definition.fuseUnknown = try bool(model, "fuse_unk", place: "model")
        definition.unknown = model["unk_token"]?.stringValue
        try postProcessor(root["post_processor"] ?? .null, &definition, depth: 0)
        try checkDecoder(root["decoder"] ?? .null)
        return definition
    }

    private func checkModel(_ model: JSONValue) throws(TokenizerError) {
        // Files of before 2020 leave the type out.
        let type = model["type"] ?? .string("BPE")
        guard type.stringValue == "BPE" else {
            throw unsupported("model.type \(name(type))", known: ["BPE"])
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            let value = model[key] ?? .null
            guard value.isNull || value.stringValue == "" else {
                throw unsupported("model.\(key) \(name(value))")
            }
        }
        switch model["dropout"] ?? .null {
        case .null, .integer(0), .number(0): break
        case let value: throw unsupported("model.dropout \(name(value))")
        }
        guard try !bool(model, "byte_fallback", place: "model") else {
            throw unsupported("model.byte_fallback true")
        }
        switch model["unk_token"] ?? .null {
        case .null, .string: break
        default: throw malformed("model.unk_token", "a string was expected")
        }
    }

    /// A value for an error message.
    private func name(_ value: JSONValue) -> String {
        value.stringValue.map(TokenizerError.shortened) ?? value.kind
    }

    /// A boolean that is false when absent.
    private func bool(
        _ object: JSONValue,
        _ key: String,
        place: String,
        absent: Bool = false
    ) throws(TokenizerError) -> Bool {
        let value = object[key] ?? .null
        if value.isNull { return absent }
        guard let bool = value.boolValue else {
            throw malformed("\(place).\(key)", "true or false was expected, found \(value.kind)")
        }
        return bool
    }

    func vocabulary(_ value: JSONValue) throws(TokenizerError) -> [(piece: String, id: Int)] {
        guard let members = value.objectValue else {
            throw malformed("vocab", "an object of tokens was expected, found \(value.kind)")
        }
        var entries: [(piece: String, id: Int)] = []
        entries.reserveCapacity(members.count)
        for member in members {
            guard let id = member.value.integerValue else {
                throw malformed(
                    "vocab",
                    "the id of \(TokenizerError.shortened(member.key)) is not an integer"
                )
            }
            entries.append((member.key, id))
        }
        return entries
    }

    private func merges(
        _ value: JSONValue
    ) throws(TokenizerError) -> [(left: String, right: String)] {
        guard let items = value.arrayValue else {
            throw malformed("model.merges", "an array was expected, found \(value.kind)")
        }
        var merges: [(left: String, right: String)] = []
        merges.reserveCapacity(items.count)
        for (rank, item) in items.enumerated() {
            let place = "model.merges[\(rank)]"
            if let line = item.stringValue {
                merges.append(try MergeLine.parse(line, path: path, place: place))
            } else if let pair = item.arrayValue, pair.count == 2,
                let left = pair[0].stringValue, let right = pair[1].stringValue
            {
                merges.append((left, right))
            } else {
                throw malformed(place, "\"a b\" or [\"a\", \"b\"] was expected")
            }
        }
        return merges
    }

    private func added(_ value: JSONValue) throws(TokenizerError) -> [AddedToken] {
        if value.isNull { return [] }
        guard let items = value.arrayValue else {
            throw malformed("added_tokens", "an array was expected, found \(value.kind)")
        }
        var tokens: [AddedToken] = []
        for (index, item) in items.enumerated() {
            guard let id = item["id"]?.integerValue else {
                throw malformed("added_tokens[\(index)].id", "an integer was expected")
            }
            tokens.append(try addedToken(item, id: id))
        }
        return tokens
    }

    func addedToken(_ value: JSONValue, id: Int) throws(TokenizerError) -> AddedToken {
        let place = "added token \(id)"
        guard let content = value["content"]?.stringValue else {
            throw malformed("\(place).content", "a string was expected")
        }
        guard (0..<Vocabulary.idLimit).contains(id) else {
            throw malformed(place, "the id is outside 0..<\(Vocabulary.idLimit)")
        }
        let special = try bool(value, "special", place: place)
        return AddedToken(
            id: id,
            content: content,
            isSpecial: special,
            singleWord: try bool(value, "single_word", place: place),
            stripLeft: try bool(value, "lstrip", place: place),
            stripRight: try bool(value, "rstrip", place: place),
            normalized: try bool(value, "normalized", place: place, absent: !special)
        )
    }

    private func normalizer(
        _ value: JSONValue
    ) throws(TokenizerError) -> TokenizerDefinition.Normalizer {
        if value.isNull { return .none }
        let type = value["type"] ?? .null
        if type.stringValue == "NFC" { return .nfc }
        if type.stringValue == "Sequence", let list = value["normalizers"]?.arrayValue {
            if list.isEmpty { return .none }
            if list.count == 1, list[0]["type"]?.stringValue == "NFC" { return .nfc }
        }
        throw unsupported("the normalizer \(name(type))", known: ["null", "NFC"])
    }

    private func steps(_ value: JSONValue) throws(TokenizerError) -> [PreTokenizerStep] {
        var steps: [PreTokenizerStep] = []
        try appendSteps(value, &steps, place: "pre_tokenizer")
        guard case .byteLevel = steps.last else {
            throw unsupported("a pre_tokenizer that does not end in ByteLevel")
        }
        for step in steps.dropLast() {
            guard case .byteLevel = step else { continue }
            throw unsupported("a ByteLevel pre_tokenizer before the last step")
        }
        return steps
    }

    private func appendSteps(
        _ value: JSONValue,
        _ steps: inout [PreTokenizerStep],
        place: String
    ) throws(TokenizerError) {
        guard steps.count < Self.stepLimit else {
            throw malformed(place, "more than \(Self.stepLimit) steps")
        }
        let type = value["type"] ?? .null
        switch type.stringValue {
        case "Sequence":
            guard let list = value["pretokenizers"]?.arrayValue else {
                throw malformed("\(place).pretokenizers", "an array was expected")
            }
            for (index, item) in list.enumerated() {
                try appendSteps(item, &steps, place: "\(place)[\(index)]")
            }
        case "Digits":
            let individual = try bool(value, "individual_digits", place: place)
            steps.append(try .digits(individual: individual))
        case "ByteLevel":
            steps.append(
                try .byteLevel(
                    addPrefixSpace: try bool(
                        value,
                        "add_prefix_space",
                        place: place,
                        absent: true
                    ),
                    useRegex: try bool(value, "use_regex", place: place, absent: true)
                )
            )
        case "Split":
            let behavior = value["behavior"] ?? .null
            guard behavior.stringValue == "Isolated" else {
                throw unsupported("\(place).behavior \(name(behavior))", known: ["Isolated"])
            }
            guard try !bool(value, "invert", place: place) else {
                throw unsupported("\(place).invert true")
            }
            guard let pattern = value["pattern"]?["Regex"]?.stringValue else {
                throw unsupported("\(place).pattern without Regex", known: ["Regex"])
            }
            steps.append(.split(try Pattern(pattern)))
        default:
            throw unsupported("the pre_tokenizer \(name(type))", known: Self.knownPreTokenizers)
        }
    }

    private func checkDecoder(_ value: JSONValue) throws(TokenizerError) {
        // Without one, pieces still stand for bytes; this reader decodes them so.
        if value.isNull { return }
        let type = value["type"] ?? .null
        guard type.stringValue == "ByteLevel" else {
            throw unsupported("the decoder \(name(type))", known: ["null", "ByteLevel"])
        }
    }

    private func postProcessor(
        _ value: JSONValue,
        _ definition: inout TokenizerDefinition,
        depth: Int
    ) throws(TokenizerError) {
        if value.isNull { return }
        let type = value["type"] ?? .null
        switch type.stringValue {
        case "ByteLevel": break
        case "Sequence" where depth == 0:
            for item in value["processors"]?.arrayValue ?? [] {
                try postProcessor(item, &definition, depth: 1)
            }
        case "TemplateProcessing":
            try template(value, &definition)
        default:
            throw unsupported(
                "the post_processor \(name(type))",
                known: ["null", "ByteLevel", "TemplateProcessing", "Sequence"]
            )
        }
    }

    private func template(
        _ value: JSONValue,
        _ definition: inout TokenizerDefinition
    ) throws(TokenizerError) {
        let place = "post_processor.single"
        var before: [Int] = []
        var after: [Int] = []
        var sequences = 0
        let items = value["single"]?.arrayValue ?? []
        guard items.count <= Self.stepLimit else {
            throw malformed(place, "more than \(Self.stepLimit) parts")
        }
        for item in items {
            if item["Sequence"] != nil {
                sequences += 1
            } else if let key = item["SpecialToken"]?["id"]?.stringValue {
                guard let ids = value["special_tokens"]?[key]?["ids"]?.arrayValue,
                    ids.count <= Self.stepLimit
                else {
                    throw malformed(
                        place,
                        "\(TokenizerError.shortened(key)) has no ids, or too many"
                    )
                }
                for id in ids {
                    guard let id = id.integerValue else {
                        throw malformed(place, "an id is not an integer")
                    }
                    if sequences == 0 { before.append(id) } else { after.append(id) }
                }
            } else {
                throw malformed(place, "Sequence or SpecialToken was expected")
            }
        }
        guard sequences == 1 else { throw unsupported("\(place) with \(sequences) sequences") }
        definition.prefix = before + definition.prefix
        definition.suffix += after
    }
}

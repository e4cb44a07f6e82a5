/// Reads the parts of a `tokenizer.json` into a definition.
struct TokenizerFile {
    let path: String

    /// Longer sequences of steps are refused.
    static let stepLimit = 32

    func malformed(_ place: String, _ reason: String) -> TokenizerError {
        .malformed(path: path, place: place, reason: reason)
    }

    func unsupported(_ what: String, known: [String] = []) -> TokenizerError {
        .unsupported(path: path, what: what, known: known)
    }

    func definition(_ root: JSONValue) throws(TokenizerError) -> TokenizerDefinition {
        guard let model = root["model"], model.objectValue != nil else {
            throw malformed("model", "there is no such object")
        }
        let kind = try kind(model)
        var definition = TokenizerDefinition(
            path: path,
            model: kind,
            vocabulary: [],
            merges: [],
            added: try added(root["added_tokens"] ?? .null),
            normalizer: try normalizer(root["normalizer"] ?? .null),
            steps: try steps(root["pre_tokenizer"] ?? .null),
            decoders: try decoders(root["decoder"] ?? .null),
            byteFallback: try bool(model, "byte_fallback", place: "model")
        )
        switch kind {
        case .bpe:
            try checkBPE(model)
            definition.vocabulary = try vocabulary(model["vocab"] ?? .null)
            definition.merges = try merges(model["merges"] ?? .null)
            definition.ignoreMerges = try bool(model, "ignore_merges", place: "model")
            definition.fuseUnknown = try bool(model, "fuse_unk", place: "model")
            definition.unknown = model["unk_token"]?.stringValue
        case .unigram:
            try scoredVocabulary(model, &definition)
        }
        try postProcessor(root["post_processor"] ?? .null, &definition, depth: 0)
        return definition
    }

    private func kind(_ model: JSONValue) throws(TokenizerError) -> TokenizerDefinition.Model {
        // Files of before 2020 leave the type out; only Unigram's vocabulary is a list.
        guard let type = model["type"], !type.isNull else {
            return model["vocab"]?.arrayValue == nil ? .bpe : .unigram
        }
        guard let kind = type.stringValue.flatMap(TokenizerDefinition.Model.init) else {
            throw unsupported("model.type \(name(type))", known: ["BPE", "Unigram"])
        }
        return kind
    }

    private func checkBPE(_ model: JSONValue) throws(TokenizerError) {
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
        switch model["unk_token"] ?? .null {
        case .null, .string: break
        default: throw malformed("model.unk_token", "a string was expected")
        }
    }

    /// A value for an error message.
    func name(_ value: JSONValue) -> String {
        value.stringValue.map(TokenizerError.shortened) ?? value.kind
    }

    /// A boolean that is false when absent.
    func bool(
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

    /// A Unigram model's list of pieces and scores; ids are places in it.
    private func scoredVocabulary(
        _ model: JSONValue,
        _ definition: inout TokenizerDefinition
    ) throws(TokenizerError) {
        guard let items = model["vocab"]?.arrayValue else {
            throw malformed("model.vocab", "a list of pieces and scores was expected")
        }
        guard items.count <= Vocabulary.idLimit else {
            throw malformed("model.vocab", "it has more than \(Vocabulary.idLimit) pieces")
        }
        for (id, item) in items.enumerated() {
            guard let pair = item.arrayValue, pair.count == 2, let piece = pair[0].stringValue,
                let score = pair[1].doubleValue
            else {
                throw malformed("model.vocab[\(id)]", "[\"piece\", score] was expected")
            }
            definition.vocabulary.append((piece, id))
            definition.scores.append(score)
        }
        switch model["unk_id"] ?? .null {
        case .null: break
        case .integer(let id) where definition.vocabulary.indices.contains(id):
            definition.unknown = definition.vocabulary[id].piece
        case let value: throw malformed("model.unk_id", "\(name(value)) is no id of the vocabulary")
        }
        definition.fuseUnknown = true
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
}

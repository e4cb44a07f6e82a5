import Foundation

extension Tokenizer {
    /// Reads the tokenizer of a Hugging Face model directory.
    ///
    /// `tokenizer.json` when it is there, else `vocab.json` with `merges.txt` (GPT-2's way of cutting
    /// words, or Qwen2's where `tokenizer_config.json` names its class). End, begin and padding
    /// tokens come from `tokenizer_config.json` or `special_tokens_map.json`, the first that names
    /// one, and are special; else the ids in `config.json` say which piece ends or begins a text. What
    /// stands around a text is the post-processor's of `tokenizer.json`: `add_bos_token` and
    /// `add_eos_token` change nothing beside it, as in transformers 5. Truncation and padding settings in
    /// `tokenizer.json` are not applied.
    ///
    /// - Throws: `TokenizerError`, naming the file and the key; whatever is not implemented is refused,
    ///   since ignoring it would give other ids.
    public init(directory: URL) throws {
        let settings = try TokenizerSettings(directory: directory)
        let file = directory.appendingPathComponent("tokenizer.json")
        var definition: TokenizerDefinition
        if FileManager.default.fileExists(atPath: file.path) {
            definition = try TokenizerFile(path: file.path).definition(JSONReader.read(file))
        } else {
            definition = try VocabularyFiles.definition(directory, settings)
        }
        try settings.apply(to: &definition)
        try self.init(definition)
    }
}

/// The files beside `tokenizer.json` that name special tokens.
struct TokenizerSettings {
    let path: String
    /// `tokenizer_config.json`, null when there is none.
    let config: JSONValue
    private let specialMap: JSONValue
    private let modelConfig: JSONValue

    init(directory: URL) throws(TokenizerError) {
        func read(_ name: String) throws(TokenizerError) -> JSONValue {
            let url = directory.appendingPathComponent(name)
            guard FileManager.default.fileExists(atPath: url.path) else { return .null }
            return try JSONReader.read(url)
        }
        path = directory.path
        config = try read("tokenizer_config.json")
        specialMap = try read("special_tokens_map.json")
        modelConfig = try read("config.json")
    }

    /// `"GPT2TokenizerFast"` and the like, without `Fast`.
    var tokenizerClass: String? {
        guard let name = config["tokenizer_class"]?.stringValue else { return nil }
        return name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
    }

    /// The text of a token written as a string or as an object with `content`.
    private func content(_ value: JSONValue?) -> String? {
        value?.stringValue ?? value?["content"]?.stringValue
    }

    /// Adds the tokens and roles that these files name.
    func apply(to definition: inout TokenizerDefinition) throws(TokenizerError) {
        var ids: [[UInt8]: Int] = [:]
        for entry in definition.vocabulary { ids[Array(entry.piece.utf8)] = entry.id }
        for token in definition.added { ids[Array(token.content.utf8)] = token.id }
        var places: [Int: Int] = [:]
        for (index, token) in definition.added.enumerated() { places[token.id] = index }
        for token in try decoderTokens() where places[token.id] == nil {
            places[token.id] = definition.added.count
            definition.added.append(token)
            ids[Array(token.content.utf8)] = token.id
        }
        func known(_ content: String, _ place: String) throws(TokenizerError) -> Int {
            guard let id = ids[Array(content.utf8)] else {
                throw .malformed(
                    path: path,
                    place: place,
                    reason: "\(TokenizerError.shortened(content)) is not in the vocabulary"
                )
            }
            return id
        }
        func makeSpecial(_ id: Int, _ text: String) {
            if let index = places[id] {
                definition.added[index].isSpecial = true
            } else {
                places[id] = definition.added.count
                definition.added.append(AddedToken(id: id, content: text))
            }
        }
        func named(_ role: String) throws(TokenizerError) -> Int? {
            for source in [config, specialMap] {
                guard let text = content(source[role]) else { continue }
                let id = try known(text, role)
                makeSpecial(id, text)
                return id
            }
            return nil
        }
        let present = Set(ids.values)
        // A bare id makes no piece special, and one without a piece says nothing.
        func numbered(_ key: String) -> Int? {
            let value = modelConfig[key]
            let id = value?.integerValue ?? value?.arrayValue?.first?.integerValue
            return id.flatMap { present.contains($0) ? $0 : nil }
        }
        definition.endOfSequence =
            try named("eos_token") ?? numbered("eos_token_id") ?? definition.endOfSequence
        definition.beginOfSequence =
            try named("bos_token") ?? numbered("bos_token_id") ?? definition.beginOfSequence
        // `pad_token_id` is often 0 or -1 for want of a padding token.
        definition.padding = try named("pad_token") ?? definition.padding
        for source in [config, specialMap] {
            for value in source["additional_special_tokens"]?.arrayValue ?? [] {
                guard let text = content(value) else { continue }
                makeSpecial(try known(text, "additional_special_tokens"), text)
            }
        }
    }

    /// `added_tokens_decoder`: added tokens by id.
    private func decoderTokens() throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for member in config["added_tokens_decoder"]?.objectValue ?? [] {
            guard let id = Int(member.key) else {
                throw .malformed(
                    path: path,
                    place: "added_tokens_decoder",
                    reason: "\(TokenizerError.shortened(member.key)) is not an id"
                )
            }
            tokens.append(try TokenizerFile(path: path).addedToken(member.value, id: id))
        }
        return tokens
    }
}

/// `vocab.json` and `merges.txt`, from before `tokenizer.json`.
enum VocabularyFiles {
    private static let knownClasses = ["GPT2Tokenizer", "Qwen2Tokenizer"]

    static func definition(
        _ directory: URL,
        _ settings: TokenizerSettings
    ) throws -> TokenizerDefinition {
        let vocabularyURL = directory.appendingPathComponent("vocab.json")
        guard FileManager.default.fileExists(atPath: vocabularyURL.path) else {
            throw TokenizerError.unreadable(
                path: directory.path,
                reason: "it has neither tokenizer.json nor vocab.json"
            )
        }
        let name = settings.tokenizerClass ?? "GPT2Tokenizer"
        guard knownClasses.contains(name) else {
            throw TokenizerError.unsupported(
                path: settings.path,
                what: "tokenizer_class \(TokenizerError.shortened(name))",
                known: knownClasses
            )
        }
        let addedURL = directory.appendingPathComponent("added_tokens.json")
        guard !FileManager.default.fileExists(atPath: addedURL.path) else {
            throw TokenizerError.unsupported(
                path: addedURL.path,
                what: "added_tokens.json without tokenizer.json",
                known: []
            )
        }
        let vocabulary = try TokenizerFile(path: vocabularyURL.path)
            .vocabulary(JSONReader.read(vocabularyURL))
        let merges = try merges(directory.appendingPathComponent("merges.txt"))
        let isQwen = name == "Qwen2Tokenizer"
        let space = settings.config["add_prefix_space"]?.boolValue ?? false
        let byteLevel = try PreTokenizerStep.byteLevel(addPrefixSpace: space, useRegex: !isQwen)
        let steps = isQwen ? [.split(try Pattern(KnownPatterns.qwen2)), byteLevel] : [byteLevel]
        var definition = TokenizerDefinition(
            path: directory.path,
            vocabulary: vocabulary,
            merges: merges,
            normalizer: isQwen ? .nfc : .none,
            steps: steps
        )
        // Both classes have this end token unless told otherwise, and GPT-2 begins with it too.
        if let end = vocabulary.first(where: { $0.piece == "<|endoftext|>" }) {
            definition.added = [AddedToken(id: end.id, content: end.piece)]
            definition.endOfSequence = end.id
            if !isQwen { definition.beginOfSequence = end.id }
        }
        return definition
    }

    private static func merges(_ url: URL) throws -> [(left: String, right: String)] {
        let bytes = try FileBytes.read(url, limit: JSONReader.byteLimit)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw TokenizerError.malformed(
                path: url.path,
                place: "the text",
                reason: "it is not UTF-8"
            )
        }
        var merges: [(left: String, right: String)] = []
        let lines = text.utf8.split(
            separator: UInt8(ascii: "\n"),
            omittingEmptySubsequences: false
        )
        for (number, line) in lines.enumerated() {
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            // "#version: 0.2" heads the file; "#" also begins true merges.
            if line.isEmpty || (number == 0 && line.starts(with: "#version".utf8)) { continue }
            merges.append(
                try MergeLine.parse(
                    String(Substring(line)),
                    path: url.path,
                    place: "line \(number + 1)"
                )
            )
        }
        return merges
    }
}

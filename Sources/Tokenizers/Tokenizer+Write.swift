import Foundation

extension Tokenizer {
    /// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`.
    ///
    /// `transformers.AutoTokenizer.from_pretrained` and `tokenizers.Tokenizer.from_file` give the same
    /// ids from them, wherever this tokenizer came from. Each file is written under a temporary name
    /// and renamed. (One case is out of reach: beside a `config.json` of model type `qwen2`,
    /// transformers 5 replaces any tokenizer's way of cutting words by Qwen2's.)
    ///
    /// - Throws: `TokenizerError.unwritable`.
    public func write(to directory: URL) throws {
        do {
            try FileManager.default.createDirectory(
                at: directory,
                withIntermediateDirectories: true
            )
        } catch {
            throw TokenizerError.unwritable(
                path: directory.path,
                reason: "\(error.localizedDescription)"
            )
        }
        let files = [
            ("tokenizer.json", core.tokenizerJSON), ("tokenizer_config.json", core.configJSON),
            ("special_tokens_map.json", core.specialTokensJSON),
        ]
        for (name, text) in files {
            try FileBytes.write(text, to: directory.appendingPathComponent(name))
        }
    }
}

extension TokenizerCore {
    private func quoted(_ id: UInt32) -> String { JSONText.quoted(vocabulary.piece(Int(id))) }

    fileprivate var tokenizerJSON: String {
        """
        {
          "version": "1.0",
          "truncation": null,
          "padding": null,
          "added_tokens": [\(list(added.map { addedJSON($0, withID: true) }, indent: 2))],
          "normalizer": \(JSONText.text(normalizer.json)),
          "pre_tokenizer": \(preTokenizerJSON),
          "post_processor": \(postProcessorJSON),
          "decoder": \(decoderJSON),
          "model": \(modelJSON)
        }

        """
    }

    private var preTokenizerJSON: String {
        guard !preTokenizer.steps.isEmpty else { return "null" }
        return """
            {
                "type": "Sequence",
                "pretokenizers": [\(list(preTokenizer.steps.map { JSONText.text($0.json) }, indent: 4))]
              }
            """
    }

    private var decoderJSON: String {
        guard let decoders else { return "null" }
        guard decoders.count != 1 else { return JSONText.text(decoders[0].json) }
        return JSONText.text(["type": "Sequence", "decoders": .array(decoders.map(\.json))])
    }

    private var modelJSON: String {
        if case .unigram = pieces {
            // Ids are places in this list; the model's come first.
            let vocabulary = scores.indices.prefix(scores.count - addedOnly.count).map {
                "[\(quoted(UInt32($0))), \(ScoreText.text(scores[$0]))]"
            }
            return """
                {
                    "type": "Unigram",
                    "unk_id": \(unknown.map { "\($0)" } ?? "null"),
                    "vocab": [\(list(vocabulary, indent: 4))],
                    "byte_fallback": \(spelledBytes != nil)
                  }
                """
        }
        return """
            {
                "type": "BPE",
                "dropout": null,
                "unk_token": \(unknown.map(quoted) ?? "null"),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": \(fuseUnknown),
                "byte_fallback": \(spelledBytes != nil),
                "ignore_merges": \(ignoreMerges),
                "vocab": {\(list(vocabularyJSON, indent: 4))},
                "merges": [\(list(mergesJSON, indent: 4))]
              }
            """
    }

    private func list(_ items: [String], indent: Int) -> String {
        guard !items.isEmpty else { return "" }
        let margin = String(repeating: " ", count: indent)
        return "\n\(margin)  " + items.joined(separator: ",\n\(margin)  ") + "\n\(margin)"
    }

    private func addedJSON(_ token: AddedToken, withID: Bool) -> String {
        (withID ? "{\"id\": \(token.id), " : "{")
            + "\"content\": \(JSONText.quoted(token.content)), "
            + "\"single_word\": \(token.singleWord), \"lstrip\": \(token.stripLeft), "
            + "\"rstrip\": \(token.stripRight), \"normalized\": \(token.normalized), "
            + "\"special\": \(token.isSpecial)}"
    }

    private var postProcessorJSON: String {
        guard !(prefix.isEmpty && suffix.isEmpty) else { return "null" }
        func special(_ id: UInt32, _ type: Int) -> String {
            "{\"SpecialToken\": {\"id\": \(quoted(id)), \"type_id\": \(type)}}"
        }
        func around(_ sequence: String, _ type: Int) -> [String] {
            prefix.map { special($0, type) }
                + ["{\"Sequence\": {\"id\": \"\(sequence)\", \"type_id\": \(type)}}"]
                + suffix.map { special($0, type) }
        }
        let tokens = Set(prefix + suffix).sorted().map {
            "\(quoted($0)): {\"id\": \(quoted($0)), \"ids\": [\($0)], \"tokens\": [\(quoted($0))]}"
        }
        return "{\"type\": \"TemplateProcessing\", "
            + "\"single\": [\(around("A", 0).joined(separator: ", "))], "
            + "\"pair\": [\((around("A", 0) + around("B", 1)).joined(separator: ", "))], "
            + "\"special_tokens\": {\(tokens.joined(separator: ", "))}}"
    }

    private var vocabularyJSON: [String] {
        // Added tokens that follow the model's without a gap get the same ids again; others only
        // keep theirs by standing in the model's vocabulary.
        let modelCount = vocabulary.count - addedOnly.count
        let follow =
            addedOnly.allSatisfy { $0 >= modelCount }
            && (0..<modelCount).allSatisfy { !vocabulary.isHole($0) }
        return (0..<(follow ? modelCount : vocabulary.count)).filter { !vocabulary.isHole($0) }
            .map { "\(JSONText.quoted(vocabulary.piece($0))): \($0)" }
    }

    private var mergesJSON: [String] {
        let pairs = mergeList.map {
            (vocabulary.piece(Int($0 >> 32)), vocabulary.piece(Int($0 & 0xFFFF_FFFF)))
        }
        // One string a merge is what every version reads; only pieces with spaces need pairs.
        let spaced = pairs.contains { $0.utf8.contains(0x20) || $1.utf8.contains(0x20) }
        return pairs.map {
            spaced
                ? "[\(JSONText.quoted($0)), \(JSONText.quoted($1))]"
                : JSONText.quoted("\($0) \($1)")
        }
    }

    private var roles: [(name: String, id: UInt32)] {
        [("bos_token", beginOfSequence), ("eos_token", endOfSequence), ("pad_token", padding)]
            .compactMap { name, id in
                // Named in these files, an ordinary piece would become special.
                id.flatMap { specialIDs.contains($0) ? (name, $0) : nil }
            }
    }

    fileprivate var configJSON: String {
        let decoder = added.map { "\"\($0.id)\": \(addedJSON($0, withID: false))" }
        var lines = [
            "\"added_tokens_decoder\": {\(list(decoder, indent: 2))}",
            "\"clean_up_tokenization_spaces\": false",
            "\"model_max_length\": 1000000000000000019884624838656",
            "\"tokenizer_class\": \"PreTrainedTokenizerFast\"",
        ]
        lines += roles.map { "\"\($0.name)\": \(quoted($0.id))" }
        if let unknown { lines.append("\"unk_token\": \(quoted(unknown))") }
        return "{\(list(lines, indent: 0))}\n"
    }

    fileprivate var specialTokensJSON: String {
        "{\(list(roles.map { "\"\($0.name)\": \(quoted($0.id))" }, indent: 0))}\n"
    }
}

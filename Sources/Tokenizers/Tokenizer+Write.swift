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
          "normalizer": \(normalizer.steps.isEmpty ? "null" : #"{"type": "NFC"}"#),
          "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [\(list(preTokenizer.steps.map(stepJSON), indent: 4))]
          },
          "post_processor": \(postProcessorJSON),
          "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, \
        "use_regex": true},
          "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": \(unknown.map(quoted) ?? "null"),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": \(fuseUnknown),
            "byte_fallback": false,
            "ignore_merges": \(ignoreMerges),
            "vocab": {\(list(vocabularyJSON, indent: 4))},
            "merges": [\(list(mergesJSON, indent: 4))]
          }
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

    private func stepJSON(_ step: PreTokenizerStep) -> String {
        switch step {
        case .split(.regex(let pattern), _, _):
            "{\"type\": \"Split\", \"pattern\": {\"Regex\": \(JSONText.quoted(pattern.source))}, "
                + "\"behavior\": \"Isolated\", \"invert\": false}"
        case .digits(let individual, _):
            "{\"type\": \"Digits\", \"individual_digits\": \(individual)}"
        case .byteLevel(let space, let pattern):
            "{\"type\": \"ByteLevel\", \"add_prefix_space\": \(space), \"trim_offsets\": true, "
                + "\"use_regex\": \(pattern != nil)}"
        case .split, .metaspace, .whitespace, .whitespaceSplit, .punctuation: "null"
        }
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
        (0..<vocabulary.count).filter { !vocabulary.isHole($0) }.map {
            "\(JSONText.quoted(vocabulary.piece($0))): \($0)"
        }
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
            .compactMap { name, id in id.map { (name, $0) } }
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

/// How an instruction, and perhaps an input to it, are put to a model.
public struct PromptTemplate: Sendable, Equatable {
    /// The name it is chosen by.
    public let name: String
    /// Texts in it that should each be a single special token of the tokenizer.
    public let specialTokens: [String]
    private let withoutInput: [Part]
    private let withInput: [Part]

    private enum Part: Equatable {
        case text(String)
        case prompt
        case input
        /// Text of the person who set up the run; like a prompt, it is not the template's own.
        case given(String)
    }

    /// The names that `named(_:)` knows.
    public static let names = ["alpaca", "chatml", "dolly", "plain"]

    /// The template of that name.
    ///
    /// - Throws: `TokenizerError.unknownName` with the nearest known name.
    public static func named(_ name: String) throws -> PromptTemplate {
        switch name {
        case "alpaca": alpaca
        case "chatml": chatML()
        case "dolly": dolly
        case "plain": plain
        default: throw Names.unknown(name, of: names, kind: "prompt template")
        }
    }

    /// The prompt alone; an input follows after an empty line.
    public static let plain = PromptTemplate(
        name: "plain",
        specialTokens: [],
        withoutInput: [.prompt],
        withInput: [.prompt, .text("\n\n"), .input]
    )

    /// Stanford Alpaca's, which the DSKD experiments use.
    public static let alpaca = PromptTemplate(
        name: "alpaca",
        specialTokens: [],
        withoutInput: [
            .text(
                "Below is an instruction that describes a task. Write a response that "
                    + "appropriately completes the request.\n\n### Instruction:\n"
            ),
            .prompt, .text("\n\n### Response:\n"),
        ],
        withInput: [
            .text(
                "Below is an instruction that describes a task, paired with an input that "
                    + "provides further context. Write a response that appropriately completes "
                    + "the request.\n\n### Instruction:\n"
            ),
            .prompt, .text("\n\n### Input:\n"), .input, .text("\n\n### Response:\n"),
        ]
    )

    /// Databricks Dolly's: Alpaca's without input; one introduction and a bare `Input:` with it.
    public static let dolly = PromptTemplate(
        name: "dolly",
        specialTokens: [],
        withoutInput: alpaca.withoutInput,
        withInput: Array(alpaca.withoutInput.prefix(2)) + [
            .text("\n\nInput:\n"), .input, .text("\n\n### Response:\n"),
        ]
    )

    /// ChatML: turns between `<|im_start|>` and `<|im_end|>`.
    ///
    /// - Parameter system: A system message to put first; none unless given.
    public static func chatML(system: String? = nil) -> PromptTemplate {
        var start: [Part] = []
        if let system {
            start = [.text("<|im_start|>system\n"), .given(system), .text("<|im_end|>\n")]
        }
        start += [.text("<|im_start|>user\n"), .prompt]
        let end = [Part.text("<|im_end|>\n<|im_start|>assistant\n")]
        return PromptTemplate(
            name: "chatml",
            specialTokens: ["<|im_start|>", "<|im_end|>"],
            withoutInput: start + end,
            withInput: start + [.text("\n\n"), .input] + end
        )
    }

    private init(
        name: String,
        specialTokens: [String],
        withoutInput: [Part],
        withInput: [Part]
    ) {
        self.name = name
        self.specialTokens = specialTokens
        self.withoutInput = withoutInput
        self.withInput = withInput
    }

    /// The whole text, where an empty input counts as none.
    public func render(prompt: String, input: String? = nil) -> String {
        segments(prompt: prompt, input: input).map(\.text).joined()
    }

    /// The text in stretches that come from the template and stretches that do not.
    ///
    /// Only the first kind may hold special tokens; see `Tokenizer.encode(_:prompt:input:)`.
    public func segments(
        prompt: String,
        input: String? = nil
    ) -> [(text: String, isTemplate: Bool)] {
        let input = input ?? ""
        return (input.isEmpty ? withoutInput : withInput).map { part in
            switch part {
            case .text(let text): (text, true)
            case .prompt: (prompt, false)
            case .input: (input, false)
            case .given(let text): (text, false)
            }
        }
    }

    /// 32 hexadecimal digits that differ when the texts differ; FNV-1a, not cryptographic.
    public var fingerprint: String {
        var hash = Fingerprint.Hash()
        for parts in [withoutInput, withInput] {
            hash.add("parts \(parts.count)")
            for part in parts {
                switch part {
                case .text(let text): hash.add("text \(text)")
                case .given(let text): hash.add("given \(text)")
                case .prompt: hash.add("prompt")
                case .input: hash.add("input")
                }
            }
        }
        return hash.text
    }
}

extension Tokenizer {
    /// The token ids of a filled-in template; special tokens count only in the template's own text.
    ///
    /// The rendered text is encoded as one, so words join across the seams as they would in Hugging
    /// Face's `tokenizers`; only names of special tokens inside the prompt or input stay plain text.
    ///
    /// - Throws: `TokenizerError.matchLimit`; `.malformed` when the template needs a special token
    ///   that this tokenizer does not have.
    public func encode(
        _ template: PromptTemplate,
        prompt: String,
        input: String? = nil
    ) throws -> [UInt32] {
        for token in template.specialTokens where !(id(of: token).map(isSpecial) ?? false) {
            throw TokenizerError.unsupported(
                path: "the tokenizer",
                what: "the template '\(template.name)', which needs the "
                    + "special token \(token),",
                known: []
            )
        }
        let segments = template.segments(prompt: prompt, input: input)
        guard !template.specialTokens.isEmpty else {
            return try encodePlain(segments.map(\.text).joined())
        }
        var text = ""
        var trusted: [Range<Int>] = []
        for segment in segments {
            let start = text.utf8.count
            text += segment.text
            if segment.isTemplate { trusted.append(start..<text.utf8.count) }
        }
        return try core.encode(text, .within(trusted))
    }
}

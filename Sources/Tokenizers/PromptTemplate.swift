/// How an instruction, and perhaps an input to it, are put to a model.
public struct PromptTemplate: Sendable, Equatable {
    /// The name it is chosen by.
    public let name: String
    /// Texts in it that should each be a single special token of the tokenizer.
    public let specialTokens: [String]
    /// Whether the text begins with the tokenizer's begin-of-sequence token, which is not in `render`'s text.
    public let beginsSequence: Bool
    /// The special token that ends the model's turn; nil where only the end-of-sequence token does.
    public let endOfTurn: String?
    private let withoutInput: [Part]
    private let withInput: [Part]

    enum Part: Equatable {
        case text(String)
        case prompt
        case input
        /// The user's turn: the prompt, and an input after an empty line.
        ///
        /// Some models' own templates take white space from both ends of it.
        case message(trimmed: Bool)
        /// Text of the person who set up the run; like a prompt, it is not the template's own.
        case given(String)
    }

    init(
        name: String,
        specialTokens: [String] = [],
        beginsSequence: Bool = false,
        endOfTurn: String? = nil,
        withoutInput: [Part],
        withInput: [Part]
    ) {
        self.name = name
        self.specialTokens = specialTokens
        self.beginsSequence = beginsSequence
        self.endOfTurn = endOfTurn
        self.withoutInput = withoutInput
        self.withInput = withInput
    }

    /// The whole text, where an empty input counts as none; without the begin-of-sequence token.
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
            case .text(let text): return (text, true)
            case .prompt: return (prompt, false)
            case .input: return (input, false)
            case .given(let text): return (text, false)
            case .message(let isTrimmed):
                let message = input.isEmpty ? prompt : prompt + "\n\n" + input
                return (isTrimmed ? Self.trimmed(message) : message, false)
            }
        }
    }

    /// Without white space at either end, as Python's `str.strip` has it.
    private static func trimmed(_ text: String) -> String {
        func isSpace(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
        }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(scalars[first...last])
    }

    /// 32 hexadecimal digits that differ when the texts differ; FNV-1a, not cryptographic.
    public var fingerprint: String {
        var hash = Fingerprint.Hash()
        hash.add("begins \(beginsSequence)")
        for parts in [withoutInput, withInput] {
            hash.add("parts \(parts.count)")
            for part in parts {
                switch part {
                case .text(let text): hash.add("text \(text)")
                case .given(let text): hash.add("given \(text)")
                case .prompt: hash.add("prompt")
                case .input: hash.add("input")
                case .message(let isTrimmed): hash.add("message \(isTrimmed)")
                }
            }
        }
        return hash.text
    }
}

extension Tokenizer {
    private func hasSpecial(_ piece: String) -> Bool { id(of: piece).map(isSpecial) ?? false }

    /// True where this tokenizer has all the special tokens that `template` needs.
    private func fits(_ template: PromptTemplate) -> Bool {
        template.specialTokens.allSatisfy(hasSpecial)
            && (!template.beginsSequence || beginOfSequence != nil)
    }

    /// The token ids of a filled-in template; special tokens count only in the template's own text.
    ///
    /// The rendered text is encoded as one, so words join across the seams as they would in Hugging
    /// Face's `tokenizers`; only names of special tokens inside the prompt or input stay plain text.
    /// A template that begins a sequence puts the begin token in front, once; nothing else that this
    /// tokenizer puts around texts is added.
    ///
    /// - Throws: `TokenizerError.matchLimit`; `.templateMisfit` when the template needs a special token
    ///   that this tokenizer does not have.
    public func encode(
        _ template: PromptTemplate,
        prompt: String,
        input: String? = nil
    ) throws -> [UInt32] {
        func missing(_ what: String) -> TokenizerError {
            .templateMisfit(
                name: template.name,
                needs: what,
                fitting: PromptTemplate.all.filter(fits).map(\.name)
            )
        }
        for token in template.specialTokens where !hasSpecial(token) {
            throw missing("special token \(token)")
        }
        var segments = template.segments(prompt: prompt, input: input)
        if template.beginsSequence {
            guard let begin = beginOfSequence else { throw missing("begin-of-sequence token") }
            // As text, since the stretch after a special token may be read otherwise than a text's
            // beginning.
            segments.insert((piece(begin), true), at: 0)
        } else if template.specialTokens.isEmpty {
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

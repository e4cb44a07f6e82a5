import Cache
import Tokenizers

/// An example as the teacher sees it (METHOD.md, "Example layout").
struct TokenizedExample: Sendable {
    let example: Example
    /// Prompt, response, end of sequence; cut.
    let tokenIDs: [UInt32]
    /// Positions whose next token belongs to the response: one row each.
    let supervised: Range<Int>
    let promptWasCut: Bool
    let wasCut: Bool

    /// - Returns: Nil when nothing supervised is left, as for a response that has no tokens.
    init?(
        _ example: Example,
        tokenizer: Tokenizer,
        template: PromptTemplate,
        endOfSequence: UInt32,
        settings: ExtractSettings
    ) throws {
        var prompt = try tokenizer.encode(
            template,
            prompt: example.prompt,
            input: example.input.isEmpty ? nil : example.input
        )
        promptWasCut = prompt.count > settings.maxPromptLength
        prompt = Array(prompt.prefix(settings.maxPromptLength))
        let response = try tokenizer.encodePlain(example.response) + [endOfSequence]
        wasCut = prompt.count + response.count > settings.maxLength
        tokenIDs = Array((prompt + response).prefix(settings.maxLength))
        self.example = example
        // The token before the response predicts its first token. Without a prompt the first token
        // of the response has no predecessor and is not supervised.
        let first = max(0, prompt.count - 1)
        guard first < tokenIDs.count - 1 else { return nil }
        supervised = first..<(tokenIDs.count - 1)
    }

    /// Tokens without a text: every position has a row but the last, which predicts nothing.
    init(tokenIDs: [UInt32]) {
        example = Example(split: "", prompt: "", input: "", response: "")
        self.tokenIDs = tokenIDs
        supervised = 0..<max(0, tokenIDs.count - 1)
        promptWasCut = false
        wasCut = false
    }

    /// The positions that have rows.
    func rows(_ positions: CacheSignals.Positions) -> Range<Int> {
        positions == .all ? 0..<tokenIDs.count : supervised
    }
}

extension Collection<TokenizedExample> {
    /// Tokens of all of them.
    var tokenCount: Int { reduce(0) { $0 + $1.tokenIDs.count } }

    /// Rows that are stored of all of them.
    func rowCount(_ positions: CacheSignals.Positions) -> Int {
        reduce(0) { $0 + $1.rows(positions).count }
    }
}

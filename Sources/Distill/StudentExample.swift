import Cache
import Models
import Tokenizers

/// An example in the student's tokens (METHOD.md, "Example layout").
struct StudentExample {
    /// Prompt, response, end of sequence; cut.
    let tokens: [UInt32]
    /// Positions whose next token belongs to the response.
    let supervised: Range<Int>
    let wasCut: Bool
}

/// Turns the texts of a cache into the student's tokens.
struct StudentEncoder {
    let tokenizer: Tokenizer
    let template: PromptTemplate
    let endOfSequence: UInt32
    let maxLength: Int
    let maxPromptLength: Int

    /// - Throws: `DistillError.unfit` for a tokenizer without an end token, `TokenizerError` for an
    ///   unknown template.
    init(
        tokenizer: Tokenizer,
        templateName: String,
        maxLength: Int,
        maxPromptLength: Int
    ) throws {
        guard let end = tokenizer.endOfSequence else {
            throw DistillError.unfit(
                "the student's tokenizer has no end-of-sequence token; name one in "
                    + "tokenizer_config.json (eos_token)"
            )
        }
        self.tokenizer = tokenizer
        template = try PromptTemplate.named(templateName)
        endOfSequence = end
        self.maxLength = maxLength
        self.maxPromptLength = maxPromptLength
    }

    /// Token ids index the rows of the student's embedding and head.
    ///
    /// - Throws: `DistillError.unfit` for a tokenizer with more tokens than the model has rows.
    static func requireFit(_ tokenizer: Tokenizer, _ model: ModelConfiguration) throws {
        guard tokenizer.vocabularySize > model.vocabularySize else { return }
        throw DistillError.unfit(
            "the student's tokenizer has \(tokenizer.vocabularySize) tokens but its embedding "
                + "\(model.vocabularySize) rows; make the student for this tokenizer"
        )
    }

    /// An empty `supervised` range where the cut leaves no response.
    func encode(_ record: CacheRecord) throws -> StudentExample {
        let whole = try tokenizer.encode(
            template,
            prompt: record.prompt,
            input: record.input.isEmpty ? nil : record.input
        )
        let prompt = whole.prefix(maxPromptLength)
        let response = try tokenizer.encodePlain(record.response) + [endOfSequence]
        let tokens = Array((prompt + response).prefix(maxLength))
        let first = min(max(0, prompt.count - 1), max(0, tokens.count - 1))
        return StudentExample(
            tokens: tokens,
            supervised: first..<max(first, tokens.count - 1),
            wasCut: whole.count > prompt.count || prompt.count + response.count > maxLength
        )
    }
}

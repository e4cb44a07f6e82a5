import Foundation
import Models
import Tokenizers

/// Answers of a model to prompts, in the words of a template.
public struct StudentAnswers {
    private let model: TransformerModel
    private let tokenizer: Tokenizer
    private let template: PromptTemplate
    private let batchSize: Int

    /// - Parameter batchSize: Prompts that are answered at a time.
    public init(
        _ model: TransformerModel,
        _ tokenizer: Tokenizer,
        template: PromptTemplate,
        batchSize: Int = 64
    ) {
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.batchSize = batchSize
    }

    /// The tokens that end an answer.
    public static func stopTokens(_ tokenizer: Tokenizer) -> Set<UInt32> {
        let turns = PromptTemplate.all.compactMap(\.endOfTurn).compactMap { tokenizer.id(of: $0) }
            .filter { tokenizer.isSpecial($0) }
        return Set(turns + [tokenizer.endOfSequence].compactMap { $0 })
    }

    /// One answer for each prompt, without white space at its ends.
    ///
    /// - Parameters:
    ///   - check: Is shown the prompts' tokens first; those longer than the model's positions get an empty
    ///     answer.
    ///   - shouldStop: Asked before every token; true leaves the unfinished answers empty.
    /// - Throws: `TokenizerError`.
    public func callAsFunction(
        _ prompts: [EvalPrompt],
        options: SamplingOptions,
        check: ([[UInt32]]) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> [String] {
        let encoded = try prompts.map {
            try tokenizer.encode(
                template,
                prompt: $0.prompt,
                input: $0.input.isEmpty ? nil : $0.input
            )
        }
        check(encoded)
        let answers = Generator(model, batchSize: batchSize).generate(
            encoded,
            options: options,
            stop: Self.stopTokens(tokenizer),
            shouldStop: shouldStop
        )
        return answers.map {
            tokenizer.decode($0).trimmingCharacters(in: .whitespacesAndNewlines)
        }
    }
}

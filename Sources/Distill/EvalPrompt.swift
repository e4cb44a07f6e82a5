import Cache

/// A prompt to answer, with the record's input; the caller puts it into the template.
public struct EvalPrompt: Sendable, Equatable {
    /// The instruction.
    public var prompt: String
    /// What it is about; empty where there is nothing.
    public var input: String

    /// A prompt, with an input or without.
    public init(prompt: String, input: String = "") { (self.prompt, self.input) = (prompt, input) }

    init(_ record: CacheRecord) { (prompt, input) = (record.prompt, record.input) }
}

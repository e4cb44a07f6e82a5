/// A held-out example with what was measured of it: a line of `eval.examples.jsonl`.
public struct EvalExample: Codable, Sendable, Equatable {
    /// What the teacher, having read the answer up to each place, held the most likely there.
    public struct Teacher: Codable, Sendable, Equatable {
        /// Its most likely tokens, one after the other; a free answer of its own is not in a cache.
        public var text: String
        /// -log p(answer) in nats a byte.
        public var crossEntropyPerByte: Double

        enum CodingKeys: String, CodingKey {
            case text
            case crossEntropyPerByte = "cross_entropy_per_byte"
        }
    }

    /// What a model made of it.
    public struct Model: Codable, Sendable, Equatable {
        /// -log p(reference) in nats a byte.
        public var crossEntropyPerByte: Double
        /// Its answer to the prompt, and what that scores; nil where none was generated.
        public var answer: String?
        /// See `answer`.
        public var rougeL: Double?
        /// See `answer`.
        public var exactMatch: Double?

        enum CodingKeys: String, CodingKey {
            case answer, rougeL
            case crossEntropyPerByte = "cross_entropy_per_byte"
            case exactMatch = "exact_match"
        }
    }

    /// As the cache names it.
    public var id: String
    /// The prompt without its template, what it is about, and the answer of the data.
    public var prompt: String
    /// See `prompt`.
    public var input: String
    /// See `prompt`.
    public var reference: String
    /// See `Teacher`.
    public var teacher: Teacher
    /// By the models' names; a model that had to leave the example out is not there.
    public var models: [String: Model] = [:]
}

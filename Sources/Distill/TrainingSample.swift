/// What the student answered to a prompt on the way: a line of `samples.jsonl`.
public struct TrainingSample: Codable, Sendable, Equatable, StepLine {
    /// Steps done by then.
    public var step: Int
    /// The prompt, without its template.
    public var prompt: String
    /// The greedy answer.
    public var answer: String

    /// A sample of a step.
    public init(step: Int, prompt: String, answer: String) {
        (self.step, self.prompt, self.answer) = (step, prompt, answer)
    }
}

import ArgumentParser
import Cache
import Distill
import Extract
import Foundation
import Models
import Tensors
import Tokenizers

/// Answers a file of prompts.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Answer a file of prompts with a model.",
        discussion: """
            PROMPTS is JSON Lines with a "prompt" (and perhaps an "input") a line; other keys are \
            carried over. OUTPUT gets the same lines with a "response". A run that is stopped goes on \
            where it was when started again.

            Example:
              retort generate --model models/smollm2-135m-instruct.gguf \\
                --prompts prompts.jsonl --output answers.jsonl --temperature 0
            """
    )

    @Option(help: "A Hugging Face directory or a GGUF file.")
    var model: String

    @Option(help: "JSON Lines with a \"prompt\" a line.")
    var prompts: String

    @Option(help: "Where the answers go.")
    var output: String

    @Option(
        help:
            "Prompt template: \(PromptTemplate.names.joined(separator: ", ")); auto takes the model's own."
    )
    var template = "chatml"

    @Option(help: "Most tokens of an answer.")
    var maxNewTokens = 256

    @Option(help: "0 takes the most likely token each time.")
    var temperature: Float = 1

    @Option(help: "Choose among the K most likely tokens; 0 for all.")
    var topK = 0

    @Option(help: "Choose among the most likely tokens that together have this probability.")
    var topP: Float = 1

    @Option(help: "No run of so many tokens occurs twice in an answer; 0 allows it.")
    var noRepeatNgram = 6

    @Option(help: "The same seed gives the same answers.")
    var seed: UInt64 = 10

    @Option(help: "Prompts under way at a time.")
    var batch = 64

    @Option(help: "Precision of matrix products: f32 or bf16.")
    var compute = ComputeType.f32

    @Option(
        help:
            "Tries at a prompt whose answer the token limit cuts short, each with other random numbers."
    )
    var attempts = 1

    @Flag(help: "Write over an output that is there.")
    var replace = false

    @Flag(help: "Leave out answers that the token limit cut short.")
    var completeOnly = false

    func validate() throws {
        guard (1...1_000_000).contains(maxNewTokens), (1...4_096).contains(batch),
            (1...100).contains(attempts), temperature >= 0, topK >= 0, topP > 0,
            topP <= 1
        else {
            throw ValidationError(
                "--max-new-tokens must be 1 to 1,000,000, --batch 1 to 4,096, --attempts 1 to 100, "
                    + "--temperature and --top-k not negative, --top-p above 0 and at most 1"
            )
        }
    }

    func run() throws {
        let lines = try PromptFile.read(prompts)
        try OutputFile.check(output, replace: replace, sources: [prompts])
        let (loaded, tokenizer) = try ModelLoading.load(model)
        let template = try PromptTemplate.named(template, modelAt: URL(fileURLWithPath: model))
        let encoded = try lines.map {
            try tokenizer.encode(template, prompt: $0.prompt, input: $0.input)
        }
        var answers = try AnswerFile(output, key: try answerKey(template))
        Console.say(
            "\(lines.count) prompts, \(answers.known.count) answered already; model \(model)"
        )
        ModelLoading.warn(encoded, tooLongFor: loaded)
        let generator = Generator(loaded, compute: compute, batchSize: batch)
        for attempt in 0..<attempts {
            try answer(encoded, tokenizer, generator, attempt, &answers)
        }
        let kept = try answers.finish(lines, completeOnly: completeOnly)
        Console.say("\(kept) answers in \(output)")
        if kept < lines.count {
            Console.say(
                "\(lines.count - kept) left out: empty, or cut short by the limit of "
                    + "\(maxNewTokens) tokens"
            )
        }
    }

    /// One try at the prompts that have no complete answer yet.
    private func answer(
        _ prompts: [[UInt32]],
        _ tokenizer: Tokenizer,
        _ generator: Generator,
        _ attempt: Int,
        _ answers: inout AnswerFile
    ) throws {
        let missing = answers.missing(of: prompts.count, attempt: attempt)
        let title = attempt == 0 ? "generate" : "generate, try \(attempt + 1)"
        let progress = ProgressLine(title, unit: "answers")
        defer { progress.finish() }
        let options = SamplingOptions(
            temperature: temperature,
            topK: topK,
            topP: topP,
            noRepeatNgram: noRepeatNgram,
            maxNewTokens: maxNewTokens,
            seed: seed
        )
        var done = 0
        // In pieces, so that a stop loses little.
        for start in stride(from: 0, to: missing.count, by: 4 * batch) {
            let indices = Array(missing[start..<min(missing.count, start + 4 * batch)])
            var failure: (any Error)?
            func keep(_ index: Int, _ answer: [UInt32], _ ended: Bool) {
                do {
                    try answers.add(
                        indices[index],
                        tokenizer.decode(answer).trimmed,
                        isComplete: ended,
                        attempt: attempt
                    )
                } catch { failure = error }
                done += 1
                progress.update(Double(done), of: Double(missing.count))
            }
            generator.generate(
                indices.map { prompts[$0] },
                options: options,
                stop: StudentAnswers.stopTokens(tokenizer),
                streams: indices.map { UInt64($0) + UInt64(attempt) << 32 },
                shouldStop: { failure != nil || Signals.shouldStop },
                progress: keep
            )
            if let failure { throw failure }
            if Signals.shouldStop {
                throw Failure(
                    "stopped after \(answers.known.count) of \(prompts.count) answers; run the same "
                        + "command again to go on",
                    code: Failure.Code.stopped
                )
            }
        }
    }

    /// What the answers depend on: those of another model or other options are not gone on with.
    private func answerKey(_ template: PromptTemplate) throws -> String {
        let parts = [
            try weightsFingerprint(URL(fileURLWithPath: model)),
            try sha256(of: URL(fileURLWithPath: prompts)), template.name, "\(maxNewTokens)",
            "\(temperature)", "\(topK)", "\(topP)", "\(noRepeatNgram)", "\(seed)",
            compute.available.rawValue,
        ]
        return sha256(of: Data(parts.joined(separator: "\n").utf8))
    }
}

extension ComputeType: ExpressibleByArgument {}

extension String {
    /// Without white space at either end.
    var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}

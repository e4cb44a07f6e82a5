import Foundation
import Models
import Tensors
import Testing

@Suite("Generation")
struct GeneratorTests {
    /// Greedy decoding by running the whole sequence again for every token.
    static func slowGreedy(_ model: TransformerModel, _ prompt: [UInt32], count: Int) -> [UInt32] {
        var tokens = prompt
        for _ in 0..<count {
            let hidden = model.hiddenStates(VarlenBatch([tokens]), tape: nil)
            let values = model.logits(hidden.slice(rows: (hidden.rows - 1)..<hidden.rows)).values
            tokens.append(UInt32(values.indices.max { values[$0] < values[$1] } ?? 0))
        }
        return Array(tokens.dropFirst(prompt.count))
    }

    static func prompts(_ count: Int) -> [[UInt32]] {
        (0..<count).map { (index: Int) -> [UInt32] in
            (0...(index % 4)).map { (place: Int) -> UInt32 in UInt32((3 + index + 7 * place) % 60) }
        }
    }

    // Nine new tokens take sequences beyond every window, and past phi3's original length.
    @Test("the key-value cache changes no greedy token", arguments: ParityTests.names)
    func cache(name: String) throws {
        let model = try Checkpoint(ParityFixture(name).directory).model()
        let prompts = Self.prompts(7)
        // Three slots for seven prompts: slots are used again.
        let generator = Generator(model, batchSize: 3)
        let options = SamplingOptions(temperature: 0, noRepeatNgram: 0, maxNewTokens: 9)
        let answers = generator.generate(prompts, options: options, stop: [])
        for (prompt, answer) in zip(prompts, answers) {
            #expect(answer == Self.slowGreedy(model, prompt, count: 9))
        }
    }

    @Test("an answer ends before the stop token")
    func stop() throws {
        let model = try Checkpoint(ParityFixture("llama").directory).model()
        let prompt = Self.prompts(3)[2]
        let free = Self.slowGreedy(model, prompt, count: 6)
        let stop = free[3]
        let options = SamplingOptions(temperature: 0, noRepeatNgram: 0, maxNewTokens: 6)
        let answer = Generator(model).generate([prompt], options: options, stop: [stop])[0]
        #expect(answer == Array(free.prefix { $0 != stop }))
    }

    @Test("sampling depends on seed and prompt, not on the batch")
    func seeds() throws {
        let model = try Checkpoint(ParityFixture("gpt2").directory).model()
        let prompts = Self.prompts(6)
        func sample(_ seed: UInt64, batch: Int) -> [[UInt32]] {
            Generator(model, batchSize: batch).generate(
                prompts,
                options: SamplingOptions(maxNewTokens: 8, seed: seed),
                stop: []
            )
        }
        #expect(sample(1, batch: 6) == sample(1, batch: 2))
        #expect(sample(1, batch: 6) != sample(2, batch: 6))
    }

    @Test("top-k of one and a tiny top-p are greedy")
    func filters() throws {
        let model = try Checkpoint(ParityFixture("gpt2").directory).model()
        let prompts = Self.prompts(3)
        func run(_ options: SamplingOptions) -> [[UInt32]] {
            Generator(model).generate(prompts, options: options, stop: [])
        }
        let greedy = run(SamplingOptions(temperature: 0, maxNewTokens: 8))
        #expect(run(SamplingOptions(topK: 1, maxNewTokens: 8)) == greedy)
        #expect(run(SamplingOptions(topP: 1e-6, maxNewTokens: 8)) == greedy)
    }

    @Test("no run of tokens of the given length occurs twice")
    func ngrams() throws {
        let model = try Checkpoint(ParityFixture("gpt2").directory).model()
        let options = SamplingOptions(temperature: 0, noRepeatNgram: 2, maxNewTokens: 20)
        for answer in Generator(model).generate(Self.prompts(4), options: options, stop: []) {
            let pairs = zip(answer, answer.dropFirst()).map { [$0, $1] }
            #expect(Set(pairs).count == pairs.count)
        }
    }
}

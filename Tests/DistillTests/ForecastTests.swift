import Cache
import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("What a run will take")
struct ForecastTests {
    @Test("memory is weights, gradients and moments, heads, logits, examples and activations")
    func memory() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = world.settings("run")
        run.ema = 0.9
        let trainer = try world.trainer(run)
        let forecast = trainer.forecast()
        let trained = trainer.training.optimizer.slots.reduce(0) { $0 + $1.parameter.value.count }
        let size = try trainer.stream("train").size(ofEpoch: 0)
        var (longest, tokens, batches) = (0, 0, 0)
        let iterator = try trainer.stream("train").batches(epoch: 0)
        while let batch = try iterator.next() {
            longest = max(longest, batch.tokens)
            tokens += batch.tokens
            batches += 1
        }
        #expect(size.batches == batches && size.tokens == tokens && size.longest == longest)
        let vocabulary = trainer.training.model.configuration.vocabularySize
        // The program itself is the first.
        let bytes = forecast.memory.dropFirst().map(\.bytes)
        // The teacher has 257 tokens of width 12, and as many rows of its embedding.
        let heads = 4 * 2 * 257 * 12
        #expect(Array(bytes.prefix(3)) == [16 * trained, 4 * trained, heads])
        #expect(bytes[3] == 4 * longest * vocabulary && bytes[4] == tokens * 4 * 12)
        // Width 8, two heads of 4, feed-forward 32; one layer, and as much in passing.
        let kept = 2 * 8 + 4 * 2 * (2 + 2) + 2 * 32
        #expect(bytes[5] == 4 * longest * (2 * kept + 8 * 8))
        #expect(forecast.steps == 3 && forecast.tokens == tokens * 3 / batches)
        // Each of two ranks takes as much, and the gradients that are on their way; here they are on two
        // machines.
        let together = ThreadRanks.run(2) { [run] in
            try world.trainer(run, ranks: $0).forecast().memory
        }
        #expect(together[0].dropFirst().map(\.bytes) == bytes.dropLast() + [4 * trained])
    }

    @Test("a machine without the memory is refused, with what takes it and what to change")
    func refused() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = world.settings("run")
        let tokenizer = try TinyWorld.tokenizer(merges: true)
        func trainer(_ memory: Int?) throws -> Trainer {
            try Trainer(
                settings: run,
                model: try TinyWorld.model(tokenizer),
                tokenizer: tokenizer,
                cache: world.reader,
                memory: memory
            )
        }
        _ = try trainer(nil)
        let error = try #require(throws: DistillError.self) { try trainer(100 << 10) }
        guard case .noMemory(let needed, 102_400, let parts) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(needed > 100 << 10 && parts.contains("weights, gradients and moments"))
        for word in ["100.0 KiB", "batch_examples", "smaller student"] {
            #expect(error.description.contains(word))
        }
        _ = try trainer(needed)
        #expect(throws: DistillError.self) { try trainer(needed - 1) }
    }

    @Test("another dataset than the cache's is refused, both named")
    func dataset() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = world.settings("run")
        let file = world.directory.appendingPathComponent("nouns.jsonl")
        try Data("{}\n".utf8).write(to: file)
        run.dataset = file.path
        // This world's cache says nothing of its file.
        let error = #expect(throws: DistillError.self) { try world.trainer(run) }
        for word in [file.path, "nouns", run.cache, try sha256(of: file)] {
            #expect(error?.description.contains(word) == true)
        }
        var description = world.reader.manifest.description
        description.dataset.sha256 = try sha256(of: file)
        try Trainer.requireDataset(run, description)
        description.dataset.sha256 = String(repeating: "1", count: 64)
        let other = #expect(throws: DistillError.self) {
            try Trainer.requireDataset(run, description)
        }
        #expect(other?.description.contains("SHA-256 1111") == true)
        run.dataset = file.path + "-gone"
        #expect(throws: CacheError.self) { try world.trainer(run) }
    }
}

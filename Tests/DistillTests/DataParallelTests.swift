import Foundation
import Models
import Ranks
import Tensors
import Testing

@testable import Distill

@Suite("Several ranks")
struct DataParallelTests {
    private func lines(_ settings: DistillSettings) throws -> [TrainingMetrics] {
        let url = URL(fileURLWithPath: settings.output).appendingPathComponent("metrics.jsonl")
        return try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(TrainingMetrics.self, from: Data($0))
        }
    }

    private func settings(_ world: TinyWorld, _ name: String, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.criterion = name.split(separator: " ").first.map(String.init) ?? ""
        (settings.steps, settings.warmupSteps, settings.learningRate) = (6, 2, 5e-3)
        (settings.batchExamples, settings.accumulate, settings.passTokens) = (5, 2, 100)
        (settings.checkpointEvery, settings.evalEvery) = (2, 3)
        if name.hasSuffix("lora") {
            var lora = LoraOptions()
            lora.targets = [LoraOptions.allLinear]
            settings.lora = lora
        }
        if name.hasSuffix("dropout") { (settings.dropout, settings.attentionDropout) = (0.2, 0.1) }
        if name.hasSuffix("ema") { settings.ema = 0.5 }
        return settings
    }

    private func expectSame(_ found: [TrainingMetrics], _ wanted: [TrainingMetrics]) {
        #expect(found.map(\.step) == wanted.map(\.step))
        for (a, b) in zip(found, wanted) {
            for (one, other) in [(a.losses, b.losses), (a.heldOut ?? [:], b.heldOut ?? [:])] {
                #expect(Set(one.keys) == Set(other.keys))
                for (key, value) in other {
                    let difference = abs((one[key] ?? .nan) - value)
                    #expect(difference <= 1e-4 * max(1, abs(value)), "step \(b.step) \(key)")
                }
            }
            #expect(
                (a.tokens, a.examples, a.cut, a.dropped) == (b.tokens, b.examples, b.cut, b.dropped)
            )
            #expect(abs((a.gradientNorm ?? .nan) / (b.gradientNorm ?? .nan) - 1) < 1e-3)
        }
    }

    @Test(
        "two, three and twelve ranks train as one process does: losses, norms, counts, held-out losses",
        arguments: [
            "sft", "dskd", "dskd_cma", "dskd_v2", "dskd_v2_eta", "sft lora", "dskd_cma dropout",
            "sft ema", "dskd_cma untied",
        ]
    )
    func same(name: String) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let merges = !["dskd", "dskd_v2"].contains(name)
        let alone = settings(world, name, "alone")
        let ties = !name.hasSuffix("untied")
        #expect(try world.trainer(alone, merges: merges, ties: ties).run() == .finished(steps: 6))
        let wanted = try lines(alone)
        // Of twelve some have no piece in a step.
        for count in [2, 3, 12] {
            let together = settings(world, name, "on \(count)")
            let outcomes = ThreadRanks.run(count) { ranks in
                try world.trainer(together, merges: merges, ties: ties, ranks: ranks).run()
            }
            #expect(outcomes == Array(repeating: .finished(steps: 6), count: count))
            expectSame(try lines(together), wanted)
            let done = try #require(DoneRecord.read(URL(fileURLWithPath: together.output)))
            #expect(done.steps == 6)
        }
    }

    @Test("a stop that one rank is asked for stops all; fewer ranks go on from there")
    func stop() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let alone = settings(world, "dskd_cma", "alone")
        _ = try world.trainer(alone).run()
        let cut = settings(world, "dskd_cma", "cut")
        let outcomes = ThreadRanks.run(3) { ranks in
            var asked = 0
            return try world.trainer(cut, ranks: ranks).run(
                shouldStop: {
                    asked += 1
                    return ranks.rank == 2 && asked == 3
                }
            )
        }
        #expect(outcomes == Array(repeating: .stopped(step: 3), count: 3))
        #expect(
            ThreadRanks.run(2) { try world.trainer(cut, ranks: $0).run() }
                == Array(repeating: .finished(steps: 6), count: 2)
        )
        expectSame(try lines(cut), try lines(alone))
        let url = URL(fileURLWithPath: cut.output).appendingPathComponent(RunRecord.file)
        let record = try JSONDecoder().decode(RunRecord.self, from: Data(contentsOf: url))
        #expect(record.starts.map(\.ranks) == [3, 2])
        // A finished run is left alone by all.
        #expect(
            ThreadRanks.run(2) { try world.trainer(cut, ranks: $0).run() }
                == Array(repeating: .finished(steps: 6), count: 2)
        )
    }

    @Test("ranks whose weights or settings differ are refused, each with the same words")
    func differ() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let settings = settings(world, "sft", "drifted")
        let found = ThreadRanks.run(3) { ranks -> DistillError? in
            let trainer = try world.trainer(settings, ranks: ranks)
            if ranks.rank == 1 { trainer.training.model.inputEmbedding.value[0, 0] += 1 }
            do {
                _ = try trainer.run()
                return nil
            } catch let error as DistillError { return error }
        }
        #expect(
            found
                == Array(repeating: .ranksDiffer(what: "weights", step: 0, ranks: [1]), count: 3)
        )
        let others = ThreadRanks.run(2) { ranks -> DistillError? in
            var settings = settings
            settings.seed += UInt64(ranks.rank)
            do {
                _ = try world.trainer(settings, ranks: ranks).run()
                return nil
            } catch let error as DistillError { return error }
        }
        #expect(
            others
                == Array(
                    repeating: .ranksDiffer(what: "settings or files", step: 0, ranks: [1]),
                    count: 2
                )
        )
    }

    @Test("gradients are summed in buckets, whatever order they are done in")
    func buckets() {
        let sums = ThreadRanks.run(2) { ranks -> [[Float]] in
            let parameters = [5, 1, 1, 30, 2].enumerated().map { index, size in
                let parameter = Parameter(name: "\(index)", zeros: [size])
                parameter.prepareGradient()
                parameter.gradient?.fill(Float(index + 1) * Float(ranks.rank + 1))
                return parameter
            }
            let exchange = GradientExchange(parameters, ranks, bucketBytes: 32)
            for _ in 0..<2 {
                exchange.done([parameters[1], Parameter(name: "frozen", zeros: [1])])
                exchange.done([parameters[0], parameters[3]])
                exchange.finish()
            }
            return parameters.map { $0.gradient?.values ?? [] }
        }
        // 1 and 2 times the number; then twice their sum.
        let wanted = [5, 1, 1, 30, 2].enumerated().map { index, size in
            [Float](repeating: 6 * Float(index + 1), count: size)
        }
        #expect(sums == [wanted, wanted])
    }
}

import Cache
import Foundation
import Testing

@testable import Distill

@Suite("Micro-batches filled by tokens")
struct TokenBatchTests {
    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        (settings.steps, settings.epochs) = (nil, 3)
        settings.batchTokens = 150
        settings.accumulate = 2
        return settings
    }

    private func metrics(_ settings: DistillSettings) throws -> [TrainingMetrics] {
        let url = URL(fileURLWithPath: settings.output).appendingPathComponent("metrics.jsonl")
        return try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(TrainingMetrics.self, from: Data($0))
        }
    }

    @Test("steps, epochs and examples are those that the stream gives")
    func counts() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "run")
        let trainer = try world.trainer(run)
        let stream = try trainer.stream("train")
        var batches: [(epoch: Double, examples: Int)] = []
        for epoch in 0..<3 {
            let count = try stream.batchCount(epoch: epoch)
            let iterator = try stream.batches(epoch: epoch)
            var number = 0
            while let batch = try iterator.next() {
                number += 1
                #expect(batch.tokens <= 150 || batch.records.count == 1)
                batches.append(
                    (Double(epoch) + Double(number) / Double(count), batch.records.count)
                )
            }
            #expect(number == count && count > 1)
        }
        #expect(trainer.totalSteps == (batches.count + 1) / 2)
        #expect(try trainer.run() == .finished(steps: trainer.totalSteps))
        for line in try metrics(run) where line.step * 2 <= batches.count {
            let last = batches[line.step * 2 - 1]
            #expect(line.epoch == last.epoch)
            #expect(line.examples == batches[line.step * 2 - 2].examples + last.examples)
        }
    }

    @Test("a run that is stopped anywhere ends with the bits of one that is not")
    func resume() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, "straight")
        guard case .finished(let steps) = try world.trainer(straight).run() else {
            Issue.record("the run stopped")
            return
        }
        let want = DoneRecord.read(URL(fileURLWithPath: straight.output))
        for stop in 1..<steps {
            var cut = straight
            cut.output = world.directory.appendingPathComponent("cut\(stop)").path
            var step = 0
            _ = try world.trainer(cut).run(
                shouldStop: { step == stop },
                progress: { step = $0.step }
            )
            #expect(step == stop)
            #expect(try world.trainer(cut).run() == .finished(steps: steps))
            #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) == want)
            #expect(try metrics(cut).map(\.epoch) == metrics(straight).map(\.epoch))
        }
    }
}

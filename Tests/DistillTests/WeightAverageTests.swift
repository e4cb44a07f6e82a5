import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("The average of the weights")
struct WeightAverageTests {
    @Test("it is the mean weighted by powers of the decay, of the steps' values alone")
    func values() {
        let parameter = Parameter(name: "a", zeros: [2, 2])
        parameter.value.fill(100)
        let average = WeightAverage([parameter], decay: 0.5)
        let values: [Float] = [1, 2, 4, 8]
        for (step, value) in values.enumerated() {
            parameter.value.fill(value)
            average.update(step: step + 1)
        }
        // (8 + 4/2 + 2/4 + 1/8) / (1 + 1/2 + 1/4 + 1/8)
        let want: Float = 10.625 / 1.875
        #expect(average.entries[0].average.values.allSatisfy { abs($0 - want) < 1e-6 })
        average.exchange()
        #expect(abs(parameter.value[1, 1] - want) < 1e-6)
        #expect(average.entries[0].average[0, 1] == 8)
        average.exchange()
        #expect(parameter.value[0, 0] == 8)
    }

    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.steps = 6
        settings.evalEvery = 2
        settings.learningRate = 5e-3
        settings.ema = 0.9
        return settings
    }

    private func weights(_ settings: DistillSettings, _ file: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: settings.output).appendingPathComponent(file))
    }

    @Test(
        "the exported student is the average of the weights after each step",
        arguments: [ComputeType.f32, .bf16]
    )
    func exported(compute: ComputeType) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "run")
        run.compute = compute
        let trainer = try world.trainer(run)
        var history: [[[Float]]] = []
        _ = try trainer.run(progress: { _ in
            history.append(trainer.training.model.parameters.map(\.value.values))
        })
        let student = URL(fileURLWithPath: run.output).appendingPathComponent("student")
        let exported = try Checkpoint(student).model().parameters.map(\.value.values)
        for (index, values) in exported.enumerated() {
            for (i, value) in values.enumerated() {
                var (sum, mass) = (0.0, 0.0)
                for (age, step) in history.reversed().enumerated() {
                    let weight = pow(0.9, Double(age))
                    sum += weight * Double(step[index][i])
                    mass += weight
                }
                #expect(abs(Double(value) - sum / mass) < 1e-5)
            }
        }
        // What is evaluated is what is exported: a run that starts there has the same losses.
        let done = try #require(DoneRecord.read(URL(fileURLWithPath: run.output)))
        let fresh = try Trainer(
            settings: {
                var other = run
                other.criterion = "sft"
                other.ema = 0
                return other
            }(),
            model: try Checkpoint(student).model(),
            tokenizer: try TinyWorld.tokenizer(merges: true),
            cache: world.reader
        )
        let ce = try #require(try fresh.heldOutLosses()?["ce"])
        #expect(abs(ce - (try #require(done.heldOut?["ce"]))) < 1e-6)
    }

    @Test("averaging changes nothing of the training itself, and survives a stop")
    func resume() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, "straight")
        var without = straight
        (without.ema, without.output) = (0, world.directory.appendingPathComponent("without").path)
        var losses: [[[String: Double]]] = []
        for run in [straight, without] {
            var mine: [[String: Double]] = []
            _ = try world.trainer(run).run(progress: { mine.append($0.losses) })
            losses.append(mine)
        }
        #expect(losses[0] == losses[1])
        let file = "student/model.safetensors"
        #expect(try weights(straight, file) != weights(without, file))
        for stop in [1, 4] {
            var cut = straight
            cut.output = world.directory.appendingPathComponent("cut\(stop)").path
            var step = 0
            _ = try world.trainer(cut).run(
                shouldStop: { step == stop },
                progress: { step = $0.step }
            )
            #expect(try world.trainer(cut).run() == .finished(steps: 6))
            #expect(try weights(cut, file) == weights(straight, file))
            #expect(
                try weights(cut, "projectors.safetensors")
                    == weights(straight, "projectors.safetensors")
            )
            let done = [cut, straight].map { DoneRecord.read(URL(fileURLWithPath: $0.output)) }
            #expect(done[0] == done[1])
        }
    }
}

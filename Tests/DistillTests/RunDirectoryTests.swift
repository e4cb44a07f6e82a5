import Cache
import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("A run's directory")
struct RunDirectoryTests {
    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.steps = 6
        settings.warmupSteps = 2
        settings.learningRate = 5e-3
        settings.evalEvery = 2
        settings.evalGenerate = 2
        settings.sampleEvery = 3
        settings.maxNewTokens = 3
        return settings
    }

    private func file(_ settings: DistillSettings, _ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: settings.output).appendingPathComponent(name))
    }

    /// Figures without clocks and memory.
    private func figures(_ settings: DistillSettings) throws -> [String] {
        try file(settings, "metrics.jsonl").split(separator: 0x0A).map { line in
            let all = try #require(
                try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            )
            let kept = all.filter { key, _ in
                !key.contains("second") && key != "memory_mib" && key != "share_of_peak"
            }
            return String(
                decoding: try JSONSerialization.data(
                    withJSONObject: kept,
                    options: [.sortedKeys]
                ),
                as: UTF8.self
            )
        }
    }

    @Test(
        "a stop while a step is measured is obeyed, and the next run measures it",
        arguments: [1, 2, 3]
    )
    func stopWhileMeasured(ranks: Int) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, "straight")
        _ = try world.trainer(straight).run()
        let whole = try figures(straight)
        #expect(whole.count == 6)

        var cut = straight
        cut.output = world.directory.appendingPathComponent("cut-\(ranks)").path
        // Each start is told to stop after some looks at the flag: before, while and after it measures.
        var stops: Set<Int> = []
        var looks = 1
        for _ in 0..<200 {
            let limit = looks
            let run = cut
            let outcomes = ThreadRanks.run(ranks) { rank in
                var left = limit
                return try world.trainer(run, ranks: rank).run(shouldStop: {
                    left -= 1
                    return left < 0
                })
            }
            #expect(Set(outcomes.map { "\($0)" }).count == 1)
            guard case .stopped(let step) = outcomes[0] else { break }
            stops.insert(step)
            #expect(Trainer.hasCheckpoint(in: URL(fileURLWithPath: cut.output)))
            #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) == nil)
            // So that every start gets a little further.
            looks += 1
        }
        #expect(stops.contains(2) && stops.contains(6), "\(stops)")
        #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) != nil)
        guard ranks == 1 else {
            #expect(try figures(cut).count == 6)
            return
        }
        #expect(try figures(cut) == whole)
        for name in ["student/model.safetensors", "samples.jsonl"] {
            #expect(try file(cut, name) == file(straight, name), "\(name)")
        }
    }

    @Test(
        "what no run has made is not written over",
        arguments: ["student", "metrics.jsonl", "adapter"]
    )
    func foreign(name: String) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "foreign")
        let place = URL(fileURLWithPath: run.output).appendingPathComponent(name)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        let trainer = try world.trainer(run)
        for body in [{ _ = try trainer.run() }, { _ = try trainer.outputState() }] {
            let error = #expect(throws: DistillError.self) { try body() }
            #expect(error == .outputTaken(path: trainer.output.path, name: name))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: run.output) == [name])
    }

    @Test("a student is not written over by its own run")
    func ownStudent() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "own")
        run.student.from = run.output + "/../own/student"
        let error = #expect(throws: DistillError.self) { try world.trainer(run).run() }
        #expect(error?.description.contains("distill.output") == true)
        #expect(!FileManager.default.fileExists(atPath: run.output))
    }

    @Test("what a run would find is told before it starts")
    func state() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "state")
        #expect(try world.trainer(run).outputState() == .fresh)
        var step = 0
        _ = try world.trainer(run).run(shouldStop: { step == 5 }, progress: { step = $0.step })
        #expect(try world.trainer(run).outputState() == .unfinished(step: 5))
        var other = run
        other.learningRate = 1e-4
        #expect(throws: DistillError.self) { try world.trainer(other).outputState() }
        var notices: [TrainingNotice] = []
        _ = try world.trainer(run).run(notice: { notices.append($0) })
        let path = run.output + "/checkpoints/step-000005"
        #expect(notices.first == .resumed(step: 5, path: path))
        #expect(
            notices.contains {
                guard case .heldOut(step: 6, let means) = $0 else { return false }
                return means["ce"] != nil && means["rouge_l"] != nil
            }
        )
        #expect(try world.trainer(run).outputState() == .finished)
        notices = []
        _ = try world.trainer(run).run(notice: { notices.append($0) })
        #expect(notices == [.finishedBefore])
        #expect(throws: DistillError.self) { try world.trainer(other).outputState() }
    }

    @Test(
        "projectors and factors that are gone or damaged are made again",
        arguments: ["projectors.safetensors", "adapter/adapter_model.safetensors"],
        [false, true]
    )
    func beside(name: String, isDamaged: Bool) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "beside")
        run.criterion = "dskd_cma"
        var lora = LoraOptions()
        lora.rank = 2
        run.lora = lora
        _ = try world.trainer(run).run()
        let want = try file(run, name)
        let place = URL(fileURLWithPath: run.output).appendingPathComponent(name)
        if isDamaged {
            try Data(want.reversed()).write(to: place)
        } else {
            try FileManager.default.removeItem(at: place)
        }
        var steps = 0
        _ = try world.trainer(run).run(progress: { _ in steps += 1 })
        #expect(try file(run, name) == want && steps == 0)
    }

    @Test("held-out losses drop nothing, whatever the criterion looks at")
    func nothingDropped() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "dropping")
        run.criterion = "hidden_mse"
        run.layers = ["0:final"]
        var lora = LoraOptions()
        (lora.rank, lora.targets) = (2, [LoraOptions.allLinear])
        run.lora = lora
        _ = try world.trainer(run, merges: false).run()
        // The factors are no longer zero, so what is dropped before them would show.
        func losses(_ dropout: Float) throws -> [String: Double]? {
            var other = run
            other.lora?.dropout = dropout
            other.output += "-\(dropout)"
            let trainer = try world.trainer(other, merges: false)
            let checkpoint = try TrainingCheckpoint(
                URL(fileURLWithPath: run.output + "/checkpoints/step-000006")
            )
            try checkpoint.restore(trainer.training)
            return try trainer.heldOutLosses()
        }
        let plain = try #require(try losses(0))
        let dropping = try losses(0.5)
        #expect(plain["ce"]?.isFinite == true && plain == dropping)
    }
}

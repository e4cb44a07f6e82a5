import Cache
import Foundation
import Models
import Tensors
import Testing
import Tokenizers

@testable import Distill

@Suite("Training")
struct TrainerTests {
    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.steps = 6
        settings.warmupSteps = 2
        settings.learningRate = 5e-3
        return settings
    }

    private func bytes(_ settings: DistillSettings, _ file: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: settings.output).appendingPathComponent(file))
    }

    @Test(
        "three steps, a stop and three more give the bytes of six steps straight",
        arguments: ["sft", "dskd", "dskd_cma", "dskd_cma bf16", "sft lora", "dskd_cma dropout"]
    )
    func resume(name: String) throws {
        let criterion = name.split(separator: " ").first.map(String.init) ?? ""
        let world = try TinyWorld()
        defer { world.remove() }
        var straight = settings(world, "straight")
        straight.criterion = criterion
        straight.compute = name.hasSuffix("bf16") ? .bf16 : .f32
        // Several passes a step.
        straight.passTokens = 100
        if name.hasSuffix("lora") {
            var lora = LoraOptions()
            (lora.dropout, lora.targets) = (0.2, [LoraOptions.allLinear])
            straight.lora = lora
        }
        if name.hasSuffix("dropout") { (straight.dropout, straight.attentionDropout) = (0.2, 0.1) }
        let merges = criterion != "dskd"
        let whole = try world.trainer(straight, merges: merges).run()
        #expect(whole == .finished(steps: 6))

        var cut = straight
        cut.output = world.directory.appendingPathComponent("cut").path
        var steps = 0
        let outcome = try world.trainer(cut, merges: merges).run(
            shouldStop: { steps == 3 },
            progress: { steps = $0.step }
        )
        #expect(outcome == .stopped(step: 3))
        #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) == nil)
        #expect(try world.trainer(cut, merges: merges).run() == .finished(steps: 6))

        #expect(
            try bytes(straight, "student/model.safetensors")
                == bytes(cut, "student/model.safetensors")
        )
        if straight.lora != nil {
            let file = "adapter/adapter_model.safetensors"
            #expect(try bytes(straight, file) == bytes(cut, file))
        }
        if criterion != "sft" {
            #expect(
                try bytes(straight, "projectors.safetensors")
                    == bytes(cut, "projectors.safetensors")
            )
        }
        let log = try bytes(cut, "metrics.jsonl").split(separator: UInt8(ascii: "\n"))
        let lines = try log.map { try JSONDecoder().decode(TrainingMetrics.self, from: Data($0)) }
        #expect(lines.map(\.step) == [1, 2, 3, 4, 5, 6])
        #expect(lines.last?.heldOut?["ce"] != nil)
        let done = try #require(DoneRecord.read(URL(fileURLWithPath: cut.output)))
        #expect(done.losses == lines.last?.losses)
    }

    @Test("a killed run goes on from its newest checkpoint, over the end of an epoch")
    func killed() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var cut = settings(world, "killed")
        cut.accumulate = 2
        cut.checkpointEvery = 2
        struct Killed: Error {}
        let straight = try world.trainer(cut)
        #expect(try straight.run() == .finished(steps: 6))
        let want = try bytes(cut, "student/model.safetensors")
        // The state after a kill: checkpoints up to step 4, and a half-written one.
        let output = URL(fileURLWithPath: cut.output)
        for name in ["done.json", "student", "checkpoints/step-000006"] {
            try FileManager.default.removeItem(at: output.appendingPathComponent(name))
        }
        try FileManager.default.createDirectory(
            at: output.appendingPathComponent("checkpoints/.step-000005.tmp"),
            withIntermediateDirectories: true
        )
        #expect(try world.trainer(cut).run() == .finished(steps: 6))
        #expect(try bytes(cut, "student/model.safetensors") == want)
        #expect(
            TrainingCheckpoint.names(in: output.appendingPathComponent("checkpoints"))
                == ["step-000004", "step-000006"]
        )
    }

    @Test("micro-batches change memory and not numbers")
    func accumulation() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var one = settings(world, "one")
        one.steps = 1
        one.batchExamples = 8
        var two = one
        two.output = world.directory.appendingPathComponent("two").path
        two.batchExamples = 4
        two.accumulate = 2
        var losses: [[String: Double]] = []
        for settings in [one, two] {
            _ = try world.trainer(settings).run(progress: { losses.append($0.losses) })
        }
        for (name, value) in losses[0] {
            #expect(abs(value - (losses[1][name] ?? .nan)) < 1e-5, "\(name)")
        }
    }

    @Test("the losses fall, and the student that is exported is the one that was trained")
    func learns() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var long = settings(world, "long")
        long.steps = 60
        var losses: [Double] = []
        _ = try world.trainer(long).run(progress: { losses.append($0.losses["total"] ?? .nan) })
        #expect((losses.last ?? 9) < 0.9 * (losses.first ?? 0))
        let student = URL(fileURLWithPath: long.output).appendingPathComponent("student")
        let tokenizer = try Tokenizer(directory: student)
        #expect(tokenizer.fingerprint == (try TinyWorld.tokenizer(merges: true)).fingerprint)
        let loaded = try Checkpoint(student).model()
        #expect(loaded.parameters.allSatisfy { $0.value.values.allSatisfy(\.isFinite) })
        for name in ["README.md", "config.json", "tokenizer.json"] {
            #expect(FileManager.default.fileExists(atPath: student.path + "/" + name))
        }
    }

    @Test("a checkpoint of other settings is refused with the keys that differ")
    func otherSettings() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var first = settings(world, "other")
        _ = try world.trainer(first).run(shouldStop: { true })
        first.learningRate = 1e-4
        let error = #expect(throws: DistillError.self) { try world.trainer(first).run() }
        #expect(error?.description.contains("learning_rate") == true)
    }

    @Test("another tokenizer of the student is another run")
    func tokenizerChanged() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "tokenizer")
        _ = try world.trainer(run).run(shouldStop: { true })
        // The same weights: only the tokenizer is another.
        let other = try Trainer(
            settings: run,
            model: try TinyWorld.model(try TinyWorld.tokenizer(merges: true)),
            tokenizer: try TinyWorld.tokenizer(merges: false),
            cache: world.reader
        )
        let error = #expect(throws: DistillError.self) { try other.run() }
        #expect(error?.description.contains("(tokenizer: ") == true)
    }

    @Test("a finished run is not overwritten by one with other settings")
    func finishedOther() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "finished")
        _ = try world.trainer(run).run()
        let before = try bytes(run, "done.json") + bytes(run, "student/model.safetensors")
        run.seed = 99
        let error = #expect(throws: DistillError.self) { try world.trainer(run).run() }
        #expect(error?.description.contains("seed: 99 here, 1 there") == true)
        #expect(error?.description.contains("another output directory") == true)
        #expect(try before == bytes(run, "done.json") + bytes(run, "student/model.safetensors"))
    }

    @Test(
        "a finished run whose student is gone or damaged makes it again",
        arguments: ["student", "student/tokenizer.json", "student/model.safetensors"],
        [false, true]
    )
    func studentGone(name: String, hasCheckpoint: Bool) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "gone")
        _ = try world.trainer(run).run()
        // One is there at the end, so that nothing is trained again.
        if !hasCheckpoint {
            try FileManager.default.removeItem(atPath: run.output + "/checkpoints")
        }
        let want = try bytes(run, "student/model.safetensors")
        let file = URL(fileURLWithPath: run.output).appendingPathComponent(name)
        if name.hasSuffix("safetensors") {
            var damaged = want
            damaged[damaged.count - 1] ^= 1
            try damaged.write(to: file)
        } else {
            try FileManager.default.removeItem(at: file)
        }
        var steps: [Int] = []
        let outcome = try world.trainer(run).run(progress: { steps.append($0.step) })
        #expect(outcome == .finished(steps: 6))
        #expect(steps == (hasCheckpoint ? [] : Array(1...6)))
        #expect(try bytes(run, "student/model.safetensors") == want)
        #expect(try world.trainer(run).run(progress: { steps.append($0.step) }) == outcome)
        #expect(steps.count == (hasCheckpoint ? 0 : 6))
        _ = try Tokenizer(directory: URL(fileURLWithPath: run.output + "/student"))
    }

    @Test("a damaged checkpoint is refused with its file")
    func damaged() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "damaged")
        _ = try world.trainer(run).run(shouldStop: { true })
        let file = URL(fileURLWithPath: run.output).appendingPathComponent(
            "checkpoints/step-000001/optimizer.safetensors"
        )
        var data = try Data(contentsOf: file)
        data[data.count - 1] ^= 1
        try data.write(to: file)
        let error = #expect(throws: DistillError.self) { try world.trainer(run).run() }
        #expect(error?.description.contains("optimizer.safetensors") == true)
    }

    @Test("a checkpoint of a version with fewer settings goes on")
    func older() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "older")
        _ = try world.trainer(run).run()
        let want = try bytes(run, "student/model.safetensors")
        let output = URL(fileURLWithPath: run.output)
        try FileManager.default.removeItem(at: output)
        var step = 0
        _ = try world.trainer(run).run(shouldStop: { step == 3 }, progress: { step = $0.step })
        let file = output.appendingPathComponent("checkpoints/step-000003/state.json")
        var state = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        )
        var lines = try #require(state["settings"] as? [String: String])
        for key in ["spike_factor", "decay_steps", "batch_tokens", "ema", "export"] {
            #expect(lines.removeValue(forKey: key) != nil, "\(key)")
        }
        state["settings"] = lines
        #expect(state.removeValue(forKey: "losses") != nil)
        try JSONSerialization.data(withJSONObject: state).write(to: file)
        #expect(try world.trainer(run).run() == .finished(steps: 6))
        #expect(try bytes(run, "student/model.safetensors") == want)
    }

    @Test(
        "a damaged checkpoint is told of, and the run goes on from the one before to the same end"
    )
    func fallsBack() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "back")
        (run.checkpointEvery, run.keepCheckpoints) = (2, 2)
        _ = try world.trainer(run).run()
        let want = try bytes(run, "student/model.safetensors")
        let output = URL(fileURLWithPath: run.output)
        for file in ["model.safetensors", "state.json"] {
            for name in ["done.json", "student"] {
                try FileManager.default.removeItem(at: output.appendingPathComponent(name))
            }
            try Data("no".utf8).write(
                to: output.appendingPathComponent("checkpoints/step-000006/\(file)")
            )
            var (told, steps) = ([String](), [Int]())
            let outcome = try world.trainer(run).run(
                progress: { steps.append($0.step) },
                notice: {
                    if case .damagedCheckpoint(let path, let reason) = $0 {
                        told.append("\(path): \(reason)")
                    }
                }
            )
            #expect(outcome == .finished(steps: 6) && steps == [5, 6])
            #expect(told.count == 1 && told[0].contains("step-000006"))
            #expect(told[0].contains(file))
            #expect(try bytes(run, "student/model.safetensors") == want)
        }
        // The damaged one does not count as one of those that are kept.
        run.keepCheckpoints = 1
        try Data("no".utf8).write(
            to: output.appendingPathComponent("checkpoints/step-000006/state.json")
        )
        try FileManager.default.removeItem(at: output.appendingPathComponent("done.json"))
        var step = 0
        let outcome = try world.trainer(run).run(
            shouldStop: { step == 5 },
            progress: { step = $0.step }
        )
        #expect(outcome == .stopped(step: 5))
        #expect(
            TrainingCheckpoint.names(in: output.appendingPathComponent("checkpoints"))
                == ["step-000005"]
        )
    }

    @Test("weights that are not finite skip steps, and too many in a row end the run")
    func diverged() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "diverged")
        run.steps = 20
        let tokenizer = try TinyWorld.tokenizer(merges: true)
        let model = try TinyWorld.model(tokenizer)
        for row in 0..<model.parameters[0].value.rows { model.parameters[0].value[row, 0] = .nan }
        let trainer = try Trainer(
            settings: run,
            model: model,
            tokenizer: tokenizer,
            cache: world.reader
        )
        var skipped = 0
        #expect(throws: DistillError.diverged(step: 10, inARow: 10)) {
            try trainer.run(progress: { metrics in
                #expect(metrics.skippedInARow == metrics.step && metrics.gradientNorm == nil)
                skipped += metrics.skipped == "not_finite" ? 1 : 0
            })
        }
        #expect(skipped == 9)
    }

    @Test("settings that come to the same are the same run")
    func sameRun() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "same")
        _ = try world.trainer(run).run()
        (run.steps, run.epochs) = (nil, 2)
        run.template = "plain"
        run.checkpointEvery = 7
        var steps = 0
        #expect(
            try world.trainer(run).run(progress: { _ in steps += 1 }) == .finished(steps: 6)
        )
        #expect(steps == 0)
    }

    @Test("pairing criteria refuse a student with another tokenizer")
    func otherTokenizer() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "pairs")
        run.criterion = "dskd"
        #expect(throws: DistillError.self) { try world.trainer(run, merges: true) }
    }

    @Test("the trained student does not depend on the teacher's files: only the cache is read")
    func finishedRunsAreLeftAlone() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "again")
        _ = try world.trainer(run).run()
        var steps = 0
        let again = try world.trainer(run).run(progress: { _ in steps += 1 })
        #expect(again == .finished(steps: 6) && steps == 0)
    }
}

import Foundation
import Models
import Testing
import Tokenizers

@testable import Distill

@Suite("The best students, and samples")
struct BestStudentTests {
    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.steps = 8
        settings.evalEvery = 1
        settings.warmupSteps = 0
        // So high that the held-out loss goes up and down.
        settings.learningRate = 2
        settings.schedule = "constant"
        settings.keepBest = 2
        settings.export = "best"
        return settings
    }

    private func url(_ settings: DistillSettings, _ file: String) -> URL {
        URL(fileURLWithPath: settings.output).appendingPathComponent(file)
    }

    private func lines<Line: Decodable>(_ settings: DistillSettings, _ file: String) throws
        -> [Line]
    {
        try Data(contentsOf: url(settings, file)).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(Line.self, from: Data($0))
        }
    }

    /// The best steps by the log, the best first.
    private func best(_ settings: DistillSettings) throws -> [Int] {
        let log: [TrainingMetrics] = try lines(settings, "metrics.jsonl")
        return log.sorted {
            ($0.heldOut?["total"] ?? .infinity, $0.step)
                < ($1.heldOut?["total"] ?? .infinity, $1.step)
        }.map(\.step)
    }

    private func kept(_ settings: DistillSettings) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            atPath: url(settings, "checkpoints").path
        ).filter { $0.contains("best") }.sorted()
    }

    private func names(_ steps: ArraySlice<Int>) -> [String] {
        steps.map { "best-" + String(format: "%06d", $0) }.sorted()
    }

    @Test("the best by the held-out loss are kept, and the very best is exported")
    func loss() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let run = settings(world, "run")
        var told: [Int] = []
        _ = try world.trainer(run).run(notice: {
            if case .best(let step, _) = $0 { told.append(step) }
        })
        let order = try best(run)
        // Else this test would show nothing.
        try #require(order.first != 8, "\(order)")
        #expect(try kept(run) == names(order.prefix(2)))
        #expect(told.first == 1 && Set(order.prefix(2)).isSubset(of: told))
        let first = "checkpoints/\(names(order.prefix(1))[0])"
        for name in ["model.safetensors", "config.json", "tokenizer.json", "README.md"] {
            #expect(
                try Data(contentsOf: url(run, "student/\(name)"))
                    == Data(contentsOf: url(run, "\(first)/\(name)"))
            )
        }
        #expect(
            try Data(contentsOf: url(run, "projectors.safetensors"))
                == Data(contentsOf: url(run, "\(first)/projectors.safetensors"))
        )
        let student = try FileManager.default.contentsOfDirectory(atPath: url(run, "student").path)
        #expect(!student.contains("best.json") && !student.contains("projectors.safetensors"))
        let done = try #require(DoneRecord.read(URL(fileURLWithPath: run.output)))
        #expect(done.exportedStep == order.first && done.steps == 8)
        let log: [TrainingMetrics] = try lines(run, "metrics.jsonl")
        #expect(done.heldOut == log[(order.first ?? 1) - 1].heldOut)

        // What is kept is what was measured.
        for name in try kept(run) {
            let directory = url(run, "checkpoints/\(name)")
            let trainer = try Trainer(
                settings: {
                    var other = run
                    other.projectorsFrom =
                        directory.appendingPathComponent(
                            "projectors.safetensors"
                        ).path
                    return other
                }(),
                model: try Checkpoint(directory).model(),
                tokenizer: try Tokenizer(directory: directory),
                cache: world.reader
            )
            let step = try #require(Int(name.dropFirst(5)))
            #expect(try trainer.heldOutLosses() == log[step - 1].heldOut)
        }
    }

    @Test("a run that is stopped or killed keeps and exports the same ones")
    func resume() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, "straight")
        _ = try world.trainer(straight).run()
        let done = DoneRecord.read(URL(fileURLWithPath: straight.output))
        for stop in [1, 4, 7] {
            var cut = straight
            cut.output = world.directory.appendingPathComponent("cut\(stop)").path
            cut.checkpointEvery = stop
            // Killed three steps after the checkpoint: what was kept since then is kept again.
            struct Killed: Error {}
            var step = 0
            let outcome = try? world.trainer(cut).run(
                shouldStop: { step == min(8, stop + 3) },
                progress: { step = $0.step }
            )
            #expect(outcome != nil)
            for name in TrainingCheckpoint.names(in: url(cut, "checkpoints"))
            where name > "step-00000\(stop)" {
                try FileManager.default.removeItem(at: url(cut, "checkpoints/\(name)"))
            }
            for name in ["done.json", "student"] {
                try? FileManager.default.removeItem(at: url(cut, name))
            }
            try FileManager.default.createDirectory(
                at: url(cut, "checkpoints/.best-000009.tmp"),
                withIntermediateDirectories: true
            )
            #expect(try world.trainer(cut).run() == .finished(steps: 8))
            #expect(try kept(cut) == kept(straight))
            #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) == done)
        }
    }

    @Test("answers to held-out prompts give rouge_l, by which the best can be chosen")
    func rouge() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "rouge")
        (run.bestBy, run.evalGenerate, run.maxNewTokens) = ("rouge_l", 2, 12)
        run.ema = 0.5
        _ = try world.trainer(run).run()
        let log: [TrainingMetrics] = try lines(run, "metrics.jsonl")
        let scores = try log.map { try #require($0.heldOut?["rouge_l"]) }
        #expect(scores.allSatisfy { (0...1).contains($0) })
        let order = scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }.map { $0 + 1 }
        #expect(try kept(run) == names(order.prefix(2)))

        let student = url(run, "student")
        let (model, tokenizer) = (
            try Checkpoint(student).model(), try Tokenizer(directory: student)
        )
        var options = Evaluator.Options()
        (options.limit, options.batchExamples) = (2, 16)
        let evaluator = try Evaluator(
            world.reader,
            teacherTokenizer: try Evaluator.teacherTokenizer(of: world.reader),
            options: options
        )
        let report = try evaluator.evaluate("it", model: model, tokenizer: tokenizer) {
            try StudentAnswers(model, tokenizer, template: .named("plain"))(
                $0,
                options: .init(temperature: 0, maxNewTokens: 12)
            )
        }
        #expect(report.report.rougeL == scores[(order.first ?? 1) - 1])
    }

    @Test("each step's samples are there once, and a resumed run takes the same")
    func samples() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var straight = settings(world, "straight")
        (straight.keepBest, straight.export, straight.evalEvery) = (0, "last", 0)
        (straight.sampleEvery, straight.maxNewTokens, straight.checkpointEvery) = (3, 6, 4)
        var told: [TrainingSample] = []
        _ = try world.trainer(straight).run(notice: {
            if case .sample(let sample) = $0 { told.append(sample) }
        })
        let all: [TrainingSample] = try lines(straight, "samples.jsonl")
        // The cache has three held-out examples.
        #expect(all.map(\.step) == [3, 3, 3, 6, 6, 6, 8, 8, 8])
        #expect(all == told && all.contains { !$0.answer.isEmpty })

        var cut = straight
        cut.output = world.directory.appendingPathComponent("cut").path
        var step = 0
        _ = try world.trainer(cut).run(shouldStop: { step == 7 }, progress: { step = $0.step })
        try FileManager.default.removeItem(at: url(cut, "checkpoints/step-000007"))
        #expect(try world.trainer(cut).run() == .finished(steps: 8))
        #expect(try lines(cut, "samples.jsonl") == all)

        var own = straight
        own.output = world.directory.appendingPathComponent("own").path
        own.samplePrompts = ["the rain", "an onion"]
        _ = try world.trainer(own).run()
        let mine: [TrainingSample] = try lines(own, "samples.jsonl")
        #expect(mine.map(\.prompt).suffix(2) == ["the rain", "an onion"] && mine.count == 6)
    }

    @Test("what cannot be measured is refused by its key")
    func refused() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        for (key, change) in [
            ("keep_best", { $0.keepBest = 1 }), ("eval_generate", { $0.evalGenerate = 1 }),
            ("sample_every", { ($0.keepBest, $0.sampleEvery) = (0, 1) }),
        ] as [(String, (inout DistillSettings) -> Void)] {
            var run = world.settings("refused")
            run.heldOutSplit = "nothing"
            change(&run)
            let error = #expect(throws: DistillError.self) { try world.trainer(run) }
            #expect(error?.description.contains("distill.\(key): ") == true)
        }
    }

    @Test("what is measured on the way belongs to a run only where it chooses the student")
    func fingerprint() throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        let lines = try settings.lines()
        (settings.keepBest, settings.evalEvery, settings.sampleEvery) = (2, 7, 5)
        #expect(try settings.lines() == lines)
        settings.export = "best"
        #expect(try settings.lines()["eval_every"] == "7")
    }
}

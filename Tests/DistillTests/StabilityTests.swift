import Foundation
import Testing

@testable import Distill

@Suite("Steps that are skipped")
struct StabilityTests {
    @Test("a spike is a total above the factor times the median of the last applied steps")
    func window() throws {
        var window = LossWindow()
        for step in 0..<15 { window.append(Double(step)) }
        #expect(window.ceiling(factor: 2) == nil)
        window.append(15)
        #expect(window.ceiling(factor: 2) == 15)
        #expect(window.ceiling(factor: 0) == nil)
        window.append(.nan)
        window.append(16)
        #expect(window.ceiling(factor: 2) == 16)
        for step in 17..<100 { window.append(Double(step)) }
        #expect(window.totals == (68..<100).map(Double.init))
        #expect(window.ceiling(factor: 1.5) == 1.5 * 83.5)
        let again = try JSONDecoder().decode(LossWindow.self, from: JSONEncoder().encode(window))
        #expect(again == window)
    }

    /// Half of the steps are above the median: nearly every one of those is a spike here.
    private func settings(_ world: TinyWorld, _ run: String) -> DistillSettings {
        var settings = world.settings(run)
        settings.criterion = "sft"
        settings.steps = 30
        settings.batchExamples = 2
        settings.learningRate = 1e-4
        settings.spikeFactor = 1.000_1
        settings.skipPatience = 1000
        return settings
    }

    private func lines(_ settings: DistillSettings) throws -> [TrainingMetrics] {
        let url = URL(fileURLWithPath: settings.output).appendingPathComponent("metrics.jsonl")
        return try Data(contentsOf: url).split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(TrainingMetrics.self, from: Data($0))
        }
    }

    @Test("steps whose loss jumps are skipped, and a resumed run skips the same ones")
    func spikes() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let straight = settings(world, "straight")
        #expect(try world.trainer(straight).run() == .finished(steps: 30))
        let log = try lines(straight)
        let skipped = log.filter { $0.skipped != nil }
        #expect(!skipped.isEmpty && skipped.count < 14)
        #expect(log.prefix(16).allSatisfy { $0.skipped == nil && $0.skippedInARow == nil })
        for metrics in skipped {
            #expect(metrics.skipped == "loss_spike" && metrics.gradientNorm != nil)
            let before = log.prefix(metrics.step - 1).filter { $0.skipped == nil }
            var window = LossWindow()
            for line in before { window.append(try #require(line.losses["total"])) }
            let ceiling = try #require(window.ceiling(factor: 1.000_1))
            #expect(try #require(metrics.losses["total"]) > ceiling)
        }
        let done = try #require(DoneRecord.read(URL(fileURLWithPath: straight.output)))
        #expect(done.skipped == skipped.count)

        let first = try #require(skipped.first).step
        for stop in [12, first, first + 1] {
            var cut = straight
            cut.output = world.directory.appendingPathComponent("cut\(stop)").path
            var steps = 0
            let outcome = try world.trainer(cut).run(
                shouldStop: { steps == stop },
                progress: { steps = $0.step }
            )
            #expect(outcome == .stopped(step: stop))
            #expect(try world.trainer(cut).run() == .finished(steps: 30))
            #expect(try lines(cut).map(\.skipped) == log.map(\.skipped))
            #expect(DoneRecord.read(URL(fileURLWithPath: cut.output)) == done)
        }
    }

    @Test("too many in a row end the run, as many as skip_patience says")
    func patience() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var run = settings(world, "patience")
        run.skipPatience = 1
        run.steps = 1000
        var last: TrainingMetrics?
        let error = #expect(throws: DistillError.self) {
            try world.trainer(run).run(progress: { last = $0 })
        }
        let step = try #require(last).step + 1
        #expect(error == .diverged(step: step, inARow: 1))
        #expect(error?.description.contains("spike_factor") == true)
    }

    @Test("the setting that changes no number keeps a run, and the other does not")
    func fingerprint() throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        let lines = try settings.lines()
        settings.skipPatience = 3
        #expect(try settings.lines() == lines)
        settings.spikeFactor = 0
        #expect(try settings.lines() != lines)
    }
}

import Cache
import Foundation
import Tensors
import Testing

@testable import Distill
@testable import Models

@Suite("Training from what a cache stores")
struct TeacherSignalTests {
    private func settings(_ world: TinyWorld, _ criterion: String) -> DistillSettings {
        var settings = world.settings()
        settings.criterion = criterion
        settings.batchExamples = 6
        settings.learningRate = 5e-3
        settings.temperature = 1
        return settings
    }

    private func trainer(_ world: TinyWorld, _ settings: DistillSettings) throws -> Trainer {
        let type = try CriterionRegistry.type(settings.criterion)
        return try world.trainer(settings, merges: !type.needs.contains(.pairedPositions))
    }

    private func losses(
        _ world: TinyWorld,
        _ criterion: String,
        _ change: (inout DistillSettings) -> Void = { _ in }
    ) throws -> [TrainingMetrics] {
        var settings = settings(world, criterion)
        change(&settings)
        var metrics: [TrainingMetrics] = []
        let outcome = try trainer(world, settings).run(progress: { metrics.append($0) })
        #expect(outcome == .finished(steps: settings.steps ?? 0))
        return metrics
    }

    @Test(
        "every criterion trains from every signal that it can",
        arguments: CriterionRegistry.names
    )
    func all(criterion: String) throws {
        let world = try TinyWorld(stored: true)
        defer { world.remove() }
        let needs = try CriterionRegistry.type(criterion).needs
        let exact = try losses(world, criterion)
        #expect(exact.allSatisfy { $0.losses["total"]?.isFinite ?? false })
        guard needs.contains(.distribution) else { return }
        // Stored in half precision: as good as exact.
        let full = try losses(world, criterion) { $0.teacherSignal = "full" }
        for (a, b) in zip(exact, full) {
            for (part, value) in a.losses where !part.hasPrefix("t2s_") {
                let other = try #require(b.losses[part])
                #expect(abs(value - other) < 2e-3 * max(1, abs(value)), "\(criterion): \(part)")
            }
        }
        for tail in TopKTail.allCases {
            let sparse = try losses(world, criterion) {
                $0.teacherSignal = "topk"
                $0.topKTail = tail.rawValue
            }
            #expect(sparse[0].losses["kd"] != exact[0].losses["kd"], "\(criterion)")
            #expect(sparse.allSatisfy { $0.losses["total"]?.isFinite ?? false })
        }
        guard !["uld", "dskd_v2", "dskd_v2_eta"].contains(criterion) else { return }
        let sampled = try losses(world, criterion) { $0.teacherSignal = "sampled" }
        #expect(sampled.allSatisfy { $0.losses["total"]?.isFinite ?? false })
    }

    @Test(
        "a cache that lacks a signal says which extract setting gives it",
        arguments: [
            ("topk", "extract.top_k"), ("sampled", "extract.logits: sampled"),
            ("full", "extract.logits: full"),
        ]
    )
    func missing(signal: String, setting: String) throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var settings = settings(world, "kd")
        settings.teacherSignal = signal
        let error = #expect(throws: (any Error).self) { try trainer(world, settings) }
        #expect("\(try #require(error))".contains(setting))
        #expect(!FileManager.default.fileExists(atPath: settings.output))
    }

    @Test("a layer that was not extracted, or that the student lacks, is named")
    func missingLayers() throws {
        let world = try TinyWorld(stored: true)
        defer { world.remove() }
        for (layers, words) in [
            (["1:7"], "extract.hidden_layers"), (["4:1"], "layer 4 of the student"),
            (["1-1"], "student:teacher"),
        ] {
            var settings = settings(world, "hidden_mse")
            settings.layers = layers
            let error = #expect(throws: (any Error).self) { try trainer(world, settings) }
            #expect("\(try #require(error))".contains(words))
        }
    }

    @Test(
        "what a distance cannot be computed from is refused with the remedy",
        arguments: [
            ("kd", "reverse_kl", "topk", "renormalise", Float(1), "ghost"),
            ("kd", "forward_kl", "sampled", "ghost", 2, "temperature: 1"),
            ("kd", "js", "sampled", "ghost", 1, "forward_kl"),
            ("uld", "forward_kl", "sampled", "ghost", 1, "exact"),
            ("dskd_v2", "forward_kl", "sampled", "ghost", 1, "exact"),
            ("dskd_v2_eta", "adaptive_kl", "topk", "renormalise", 1, "ghost"),
        ]
    )
    func refused(
        criterion: String,
        divergence: String,
        signal: String,
        tail: String,
        temperature: Float,
        remedy: String
    ) throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        (settings.criterion, settings.divergence) = (criterion, divergence)
        (settings.teacherSignal, settings.topKTail) = (signal, tail)
        settings.temperature = temperature
        let error = #expect(throws: DistillError.self) { try settings.validate() }
        #expect("\(try #require(error))".contains(remedy))
    }

    @Test(
        "projectors that a criterion does not have are refused",
        arguments: [
            ("kd", "t2s", "has no projectors"), ("dskd", "query", "did you mean \"t2s\""),
            ("dskd_v2", "s2t", "did you mean \"t2s\""),
            ("hidden_mse", "t2s", "did you mean \"s2t\""),
        ]
    )
    func foreignProjectors(criterion: String, name: String, words: String) throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        settings.criterion = criterion
        settings.projectors = [name: "t-s"]
        let error = #expect(throws: DistillError.self) { try settings.validate() }
        #expect("\(try #require(error))".contains(words), "\(error as Any)")
    }

    @Test("a map beyond all bounds is refused before it is made")
    func hugeProjector() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        var settings = settings(world, "dskd_cma")
        settings.projectors = ["t2s": "t-1000000-1000000-s"]
        let error = #expect(throws: DistillError.self) { try trainer(world, settings) }
        #expect(
            "\(try #require(error))".contains("projectors.t2s: a map of 1000000 x 1000000 numbers")
        )
    }

    @Test("a run with several projectors is known again, whatever the order of its table")
    func fingerprint() throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        settings.projectors = ["t2s": "t-s", "s2t": "s-t", "query": "2s-2t"]
        #expect(try settings.lines()["projectors"] == "query=2s-2t,s2t=s-t,t2s=t-s")
    }

    @Test("a run of before a setting was there goes on with the setting's default")
    func olderRun() throws {
        let world = try TinyWorld()
        defer { world.remove() }
        let settings = settings(world, "dskd_cma")
        #expect(try trainer(world, settings).run(shouldStop: { true }) == .stopped(step: 1))
        let root = URL(fileURLWithPath: settings.output).appendingPathComponent("checkpoints")
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: root.path).first)
        let file = root.appendingPathComponent("\(name)/state.json")
        var state = try #require(
            JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        )
        var lines = try #require(state["settings"] as? [String: String])
        lines["label_smoothing"] = nil
        lines["projectors"] = nil
        state["settings"] = lines
        try JSONSerialization.data(withJSONObject: state).write(to: file)
        var other = settings
        other.labelSmoothing = 0.1
        #expect(throws: DistillError.self) { try trainer(world, other).run() }
        #expect(try trainer(world, settings).run() == .finished(steps: 3))
    }

    @Test(
        "features of chosen layers are learnt",
        arguments: ["hidden_mse", "hidden_cosine"]
    )
    func layers(criterion: String) throws {
        let world = try TinyWorld(stored: true)
        defer { world.remove() }
        let metrics = try losses(world, criterion) {
            $0.layers = ["1:1", "0:final"]
            $0.kdRate = 1
            ($0.steps, $0.batchExamples) = (30, 11)
            $0.projectorLearningRate = 0.02
        }
        let (first, last) = (metrics[0].losses["kd"] ?? 0, metrics[29].losses["kd"] ?? 0)
        #expect(last < 0.9 * first, "from \(first) to \(last)")
    }
}

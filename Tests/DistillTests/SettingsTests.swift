import Foundation
import Models
import Tensors
import Testing

@testable import Distill

@Suite("Settings, schedule and optimiser")
struct SettingsTests {
    static let changes: [(String, @Sendable (inout DistillSettings) -> Void)] = [
        ("learning_rate", { $0.learningRate = 0 }), ("learning_rate", { $0.learningRate = .nan }),
        ("batch_examples", { $0.batchExamples = 0 }), ("steps", { $0.steps = 0 }),
        ("epochs", { $0.epochs = 0 }), ("epochs", { $0.epochs = .max }),
        ("steps", { $0.steps = 1_000_000_001 }), ("accumulate", { $0.accumulate = 0 }),
        ("clip", { $0.clip = -1 }), ("temperature", { $0.temperature = 0 }),
        ("kd_rate", { $0.kdRate = 1.5 }), ("max_prompt_length", { $0.maxPromptLength = 512 }),
        ("dskd_cma", { $0.criterion = "dskd_cmb" }),
        ("forward_kl", { $0.divergence = "foward_kl" }),
        ("cosine", { $0.schedule = "cosin" }), ("alpaca", { $0.template = "alpacca" }),
        ("rouge_l", { $0.bestBy = "rouge" }), ("best", { $0.export = "bes" }),
        ("best_by", { ($0.keepBest, $0.bestBy) = (1, "rouge_l") }),
        ("export", { $0.export = "best" }), ("max_new_tokens", { $0.maxNewTokens = 0 }),
        ("sample_every", { $0.sampleEvery = -1 }), ("keep_best", { $0.keepBest = -1 }),
        ("keep_best", { $0.keepBest = .max }),
        ("ema", { $0.ema = 1 }), ("ema", { $0.ema = .nan }),
        ("batch_tokens", { $0.batchTokens = 0 }),
        ("steps", { ($0.steps, $0.epochs) = (1, 1) }), ("cache", { $0.cache = "" }),
        ("skip_patience", { $0.skipPatience = 0 }), ("spike_factor", { $0.spikeFactor = 1 }),
        ("spike_factor", { $0.spikeFactor = -.infinity }),
        ("decay_steps", { $0.decaySteps = 5 }),
        ("decay_steps", { ($0.schedule, $0.decaySteps) = ("wsd", 0) }),
    ]

    @Test("nonsense is refused by its key, unknown names with the nearest", arguments: changes)
    func nonsense(word: String, change: @Sendable (inout DistillSettings) -> Void) {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        #expect(throws: Never.self) { try settings.validate() }
        change(&settings)
        let error = #expect(throws: DistillError.self) { try settings.validate() }
        #expect(error?.description.contains(word) == true)
    }

    @Test("epochs come to steps, and never to more than a run can have")
    func totalSteps() throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        (settings.epochs, settings.batchExamples, settings.accumulate) = (2, 4, 2)
        #expect(try settings.totalSteps(examples: 11) == 3)
        #expect(try settings.totalSteps(examples: 1) == 1)
        settings.epochs = 1_000_000_000
        for examples in [100, Int.max] {
            let error = #expect(throws: DistillError.self) {
                try settings.totalSteps(examples: examples)
            }
            #expect(error?.description.contains("distill.epochs") == true)
        }
    }

    @Test("epochs of batches filled by tokens are counted one by one")
    func countedSteps() throws {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        (settings.epochs, settings.batchTokens, settings.accumulate) = (3, 100, 2)
        #expect(try settings.totalSteps(batches: { [3, 4, 2][$0] }) == 5)
        #expect(settings.stepInWords == "up to 2 x 100 tokens")
        settings.epochs = 1001
        let error = #expect(throws: DistillError.self) {
            try settings.totalSteps(batches: { _ in 1 })
        }
        #expect(error?.description.contains("distill.epochs") == true)
        settings.steps = 7
        #expect(try settings.totalSteps(batches: { _ in 1 }) == 7)
    }

    @Test("every setting is in docs/training.md")
    func documented() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appendingPathComponent("docs/training.md"),
            encoding: .utf8
        )
        for key in DistillSettings.CodingKeys.allCases where key != .student {
            #expect(page.contains("`\(key.rawValue)`"), "\(key.rawValue)")
        }
        #expect(page.contains("`student.from`"))
    }

    @Test("keys that are missing keep their defaults, and settings survive a round trip")
    func decoding() throws {
        let json = #"{"cache": "c", "output": "o", "student": {"from": "s"}, "kd_rate": 0.25}"#
        let settings = try JSONDecoder().decode(DistillSettings.self, from: Data(json.utf8))
        var want = DistillSettings(cache: "c", output: "o", student: "s")
        want.kdRate = 0.25
        #expect(settings == want)
        let again = try JSONDecoder().decode(
            DistillSettings.self,
            from: JSONEncoder().encode(settings)
        )
        #expect(again == settings)
    }

    @Test("rates rise over the warm-up, then follow the schedule to the floor")
    func schedule() {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        settings.warmupSteps = 4
        settings.learningRateFloor = 0.1
        let cosine = LearningRateSchedule(settings, totalSteps: 104)
        #expect(abs(cosine.factor(step: 0) - 0.2) < 1e-6 && cosine.factor(step: 4) == 1)
        #expect(abs(cosine.factor(step: 54) - 0.55) < 1e-6)
        #expect(abs(cosine.factor(step: 104) - 0.1) < 1e-6)
        settings.schedule = "linear"
        #expect(
            abs(LearningRateSchedule(settings, totalSteps: 104).factor(step: 29) - 0.775) < 1e-6
        )
        settings.schedule = "constant"
        #expect(LearningRateSchedule(settings, totalSteps: 104).factor(step: 103) == 1)
    }

    @Test("wsd stays at 1 until its last steps, and falls in a straight line over them")
    func stableThenDecay() {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        settings.schedule = "wsd"
        settings.warmupSteps = 4
        settings.learningRateFloor = 0.2
        func factors(_ total: Int, _ steps: [Int]) -> [Float] {
            let schedule = LearningRateSchedule(settings, totalSteps: total)
            return steps.map { schedule.factor(step: $0) }
        }
        // A tenth of 100 steps: from step 90 on, 0.08 less each.
        let tenth = factors(100, [0, 3, 4, 50, 90, 91, 95, 99, 100])
        for (value, want) in zip(tenth, [0.2, 0.8, 1, 1, 1, 0.92, 0.6, 0.28, 0.2] as [Float]) {
            #expect(abs(value - want) < 1e-6)
        }
        settings.decaySteps = 40
        let forty = factors(100, [59, 60, 61, 80, 99])
        for (value, want) in zip(forty, [1, 1, 0.98, 0.6, 0.22] as [Float]) {
            #expect(abs(value - want) < 1e-6)
        }
        // A decay longer than what the warm-up leaves begins where that ends.
        let short = factors(8, [3, 4, 5, 6, 7])
        for (value, want) in zip(short, [0.8, 1, 0.8, 0.6, 0.4] as [Float]) {
            #expect(abs(value - want) < 1e-6)
        }
    }

    @Test("AdamW decays matrices alone, clips over all, and skips what is not finite")
    func optimizer() {
        var settings = DistillSettings(cache: "c", output: "o", student: "s")
        settings.learningRate = 0.1
        settings.projectorLearningRate = 0.2
        settings.weightDecay = 0.5
        settings.clip = 1
        let matrix = Parameter(name: "a", zeros: [1, 1])
        let vector = Parameter(name: "b", zeros: [1])
        let projector = Parameter(name: "c", zeros: [1, 1])
        for parameter in [matrix, vector, projector] { parameter.value[0, 0] = 1 }
        let optimizer = Optimizer(
            student: [matrix, vector],
            projectors: [projector],
            settings: settings
        )
        matrix.gradient?[0, 0] = 30
        vector.gradient?[0, 0] = 40
        projector.gradient?[0, 0] = .nan
        #expect(!optimizer.step(factor: 1).applied && matrix.value[0, 0] == 1)
        #expect(optimizer.applied == 0 && matrix.gradient?[0, 0] == 0)

        matrix.gradient?[0, 0] = 30
        vector.gradient?[0, 0] = 40
        let outcome = optimizer.step(factor: 1)
        #expect(outcome.applied && abs(outcome.gradientNorm - 50) < 1e-9)
        // The first step of Adam is the sign of the gradient times the rate.
        #expect(abs(matrix.value[0, 0] - (1 * (1 - 0.1 * 0.5) - 0.1)) < 1e-6)
        #expect(abs(vector.value[0, 0] - 0.9) < 1e-6)
        #expect(abs(projector.value[0, 0] - (1 - 0.2 * 0.5)) < 1e-6)
        #expect(abs(optimizer.slots[0].m[0, 0] - 0.1 * 30 / 50) < 1e-6)
    }
}

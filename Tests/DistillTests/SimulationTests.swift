import Foundation
import Tensors
import TestSupport
import Testing

@testable import Distill

/// A small simulation.
private func small(_ output: String = "unused", steps: Int = 30) -> SimulationSettings {
    var settings = SimulationSettings(output: output)
    (settings.points, settings.classes, settings.steps) = (20, 200, steps)
    return settings
}

@Suite("The paper's simulation")
struct SimulationTests {
    @Test(
        "different heads keep the clouds apart, a shared one joins them",
        arguments: Divergence.allCases
    )
    func statement(divergence: Divergence) throws {
        var settings = small(steps: 400)
        settings.classes = 1000
        let simulation = try Simulation(settings)
        let teacher = Simulation.pairs(simulation.teacher)
        func train(_ heads: SimulationHeads) throws -> (SimulationFigures, [Double]) {
            let run = try #require(try simulation.run(divergence, heads) { _, _ in true })
            #expect(run.losses.count == 401)
            return (SimulationFigures(student: run.student, teacher: teacher), run.losses)
        }
        let before = SimulationFigures(
            student: Simulation.pairs(simulation.student),
            teacher: teacher
        )
        #expect(before.meanDistance > 3 && before.pairDistance > 4)
        let (apart, apartLosses) = try train(.different)
        #expect(apartLosses[400] < apartLosses[0] / 2)
        #expect(apart.pairDistance > 2 && apart.mixed < 0.3, "\(apart)")
        let (joined, joinedLosses) = try train(.shared)
        #expect(joinedLosses[400] < apartLosses[400] / 10)
        #expect(joined.pairDistance < 0.1 && joined.meanDistance < 0.1, "\(joined)")
        #expect(joined.mixed > 0.9, "\(joined)")
        #expect(abs(joined.studentSpread - joined.teacherSpread) < 0.05, "\(joined)")
    }

    /// SGD on forward KL in float64, written down anew: losses before each step and after the last.
    private func reference(_ simulation: Simulation, _ heads: SimulationHeads) -> [Double] {
        let settings = simulation.settings
        func doubles(_ matrix: Matrix) -> [[Double]] {
            Simulation.pairs(matrix).map { $0.map(Double.init) }
        }
        let (tau, teacher) = (Double(settings.temperature), doubles(simulation.teacher))
        var (points, head) = (doubles(simulation.student), doubles(simulation.studentHead))
        func softmax(_ h: [Double], _ w: [[Double]]) -> [Double] {
            let terms = w.map { exp(($0[0] * h[0] + $0[1] * h[1]) / tau) }
            let sum = terms.reduce(0, +)
            return terms.map { $0 / sum }
        }
        var losses: [Double] = []
        for _ in 0...settings.steps {
            let other = heads == .shared ? head : doubles(simulation.teacherHead)
            var (nextPoints, nextHead) = (points, head)
            var loss = 0.0
            let scale = settings.reduction == "mean" ? Double(settings.points) : 1
            let rate = Double(settings.learningRate) / scale
            for i in points.indices {
                let (p, q) = (softmax(teacher[i], other), softmax(points[i], head))
                for v in p.indices {
                    loss += p[v] * log(p[v] / q[v]) / Double(settings.points)
                    // No gradient runs through p, also where its head is the student's.
                    let gradient = (q[v] - p[v]) / tau
                    for axis in 0..<2 {
                        nextPoints[i][axis] -= rate * gradient * head[v][axis]
                        nextHead[v][axis] -= rate * gradient * points[i][axis]
                    }
                }
            }
            losses.append(loss)
            (points, head) = (nextPoints, nextHead)
        }
        return losses
    }

    @Test(
        "steps are those of SGD in float64",
        arguments: ["sum", "mean"],
        SimulationHeads.allCases
    )
    func steps(reduction: String, heads: SimulationHeads) throws {
        var settings = small(steps: 12)
        settings.reduction = reduction
        settings.temperature = 2
        let simulation = try Simulation(settings)
        let run = try #require(try simulation.run(.forwardKL, heads) { _, _ in true })
        for (found, wanted) in zip(run.losses, reference(simulation, heads)) {
            #expect(abs(found - wanted) < 1e-4 * wanted + 1e-6)
        }
    }

    @Test("the same seed gives the same numbers, another seed others")
    func determinism() throws {
        func run(_ seed: UInt64) throws -> SimulationRun? {
            var settings = small(steps: 20)
            settings.seed = seed
            return try Simulation(settings).run(.js, .shared) { _, _ in true }
        }
        let first = try #require(try run(1))
        #expect(try run(1) == first)
        #expect(try run(2) != first)
    }

    @Test("points that fly off end the run by name of divergence, step and remedy")
    func diverged() throws {
        var settings = small()
        settings.learningRate = 1e38
        let error = #expect(throws: SimulationError.self) {
            try Simulation(settings).run(.reverseKL, .different) { _, _ in true }
        }
        let words = try #require(error).description
        #expect(words.contains("reverse_kl, different heads"))
        #expect(words.contains("lower simulation.learning_rate"))
    }

    @Test("figures of clouds that can be worked out by hand")
    func figures() {
        let square: [[Float]] = [[0, 0], [2, 0], [0, 2], [2, 2]]
        let moved = square.map { [$0[0] + 30, $0[1] + 40] }
        let far = SimulationFigures(student: square, teacher: moved)
        #expect(abs(far.meanDistance - 50) < 1e-9 && abs(far.pairDistance - 50) < 1e-9)
        #expect(far.mixed == 0 && far.studentSpread == 1 && far.teacherSpread == 1)
        let turned = SimulationFigures(student: square, teacher: square.reversed())
        #expect(turned.meanDistance == 0 && turned.mixed == 1)
        #expect(abs(turned.pairDistance - 8.0.squareRoot()) < 1e-9)
    }
}

@Suite("A directory of simulations")
struct SimulationStudyTests {
    private func settings(_ folder: URL) -> SimulationSettings {
        var settings = small(folder.appendingPathComponent("run").path, steps: 30)
        settings.divergences = ["js", "forward_kl"]
        return settings
    }

    @discardableResult
    private func run(
        _ settings: SimulationSettings,
        stopAfter steps: Int = .max
    ) throws -> SimulationStudy.Outcome {
        var done = 0
        func count(_: SimulationStudy.Progress) { done += 1 }
        return try SimulationStudy(settings).run(shouldStop: { done >= steps }, progress: count)
    }

    private func isNew(_ outcome: SimulationStudy.Outcome) throws -> Bool {
        guard case .finished(_, let isNew) = outcome else {
            throw SimulationError.badSetting(key: "test", value: "\(outcome)", remedy: "finish")
        }
        return isNew
    }

    private func files(_ folder: URL) throws -> [String: Data] {
        let run = folder.appendingPathComponent("run")
        let names = try FileManager.default.subpathsOfDirectory(atPath: run.path)
        return try names.filter { $0.contains(".") }.reduce(into: [:]) {
            $0[$1] = try Data(contentsOf: run.appendingPathComponent($1))
        }
    }

    @Test("pictures and page are well-formed and load nothing")
    func wellFormed() throws {
        try withFolder { folder in
            try run(settings(folder))
            let files = try files(folder)
            for divergence in ["js", "forward_kl"] {
                for name in ["before", "different_heads", "shared_head"] {
                    let data = try #require(files["\(divergence)/\(name).svg"])
                    let count = try #require(XMLCount(String(decoding: data, as: UTF8.self)))
                    // A mark for each point, and one in the legend.
                    #expect(count.elements["circle"] == 21 && count.elements["polygon"] == 21)
                    #expect(count.references.isEmpty)
                }
                let loss = try #require(files["\(divergence)/loss.svg"])
                #expect(XMLCount(String(decoding: loss, as: UTF8.self)) != nil)
            }
            let data = try #require(files["simulation.html"])
            let page = String(decoding: data, as: UTF8.self)
            let count = try #require(XMLCount(page))
            #expect(count.elements["svg"] == 8 && count.elements["script"] == nil)
            #expect(count.references.isEmpty && !page.contains("url(") && !page.contains("@import"))
            #expect(page.contains("prefers-color-scheme: dark"))
        }
    }

    @Test("what is done is left alone, what is missing is made to the same bytes")
    func again() throws {
        try withFolder { folder in
            var settings = settings(folder)
            #expect(try isNew(run(settings)))
            let first = try files(folder)
            #expect(first.count == 2 * 5 + 2)
            #expect(try !isNew(run(settings)))
            for name in ["js/result.json", "js/before.svg", "simulation.json"] {
                let url = folder.appendingPathComponent("run/\(name)")
                try FileManager.default.removeItem(at: url)
                #expect(try isNew(run(settings)), "\(name)")
                #expect(try files(folder) == first)
            }
            settings.steps = 31
            let error = #expect(throws: DistillError.self) { try run(settings) }
            #expect(error?.description.contains("steps: 31 here, 30 there") == true)
            #expect(try files(folder) == first)
        }
    }

    @Test("a stop keeps the divergences before it, and the next call goes on to the same bytes")
    func stop() throws {
        try withFolder { folder in
            let whole = folder.appendingPathComponent("whole")
            try run(settings(whole))
            let cut = settings(folder)
            guard case .stopped(let divergence) = try run(cut, stopAfter: 75) else {
                Issue.record("not stopped")
                return
            }
            #expect(divergence == "forward_kl")
            #expect(try SimulationStudy(cut).stepsDone() == 60)
            #expect(try files(folder).keys.sorted() == ["js/result.json"])
            try run(cut)
            #expect(try files(folder) == files(whole))
        }
    }

    static let changes: [(String, @Sendable (inout SimulationSettings) -> Void)] = [
        ("points", { $0.points = 1 }), ("classes", { $0.classes = 1 }), ("steps", { $0.steps = 0 }),
        ("learning_rate", { $0.learningRate = .nan }), ("temperature", { $0.temperature = 0 }),
        ("teacher_deviation", { $0.teacherDeviation = -1 }),
        ("student_mean", { $0.studentMean = .infinity }), ("output", { $0.output = "" }),
        ("divergences", { $0.divergences = [] }), ("twice", { $0.divergences = ["js", "js"] }),
        ("did you mean \"reverse_kl\"", { $0.divergences = ["revers_kl"] }),
        ("did you mean \"mean\"", { $0.reduction = "meen" }),
    ]

    @Test("nonsense is refused by its key, unknown names with the nearest", arguments: changes)
    func nonsense(words: String, change: @Sendable (inout SimulationSettings) -> Void) {
        var settings = SimulationSettings(output: "o")
        #expect(throws: Never.self) { try settings.validate() }
        change(&settings)
        let error = #expect(throws: (any Error).self) { try settings.validate() }
        #expect("\(error.map { "\($0)" } ?? "")".contains(words))
    }

    @Test("keys that are missing keep their defaults, and settings survive a round trip")
    func decoding() throws {
        let json = #"{"output": "o", "student_mean": 2, "reduction": "mean"}"#
        var wanted = SimulationSettings(output: "o")
        (wanted.studentMean, wanted.reduction) = (2, "mean")
        let settings = try JSONDecoder().decode(SimulationSettings.self, from: Data(json.utf8))
        #expect(settings == wanted)
        let data = try JSONEncoder().encode(settings)
        #expect(try JSONDecoder().decode(SimulationSettings.self, from: data) == settings)
    }
}

import Distill
import Foundation

/// A pipeline file with `simulation:` as its one stage: it has neither teacher nor student.
struct SimulationPipeline {
    private static let keys = ["name", "output", "seed", "simulation"]

    let name: String
    let settings: SimulationSettings

    /// - Throws: `ConfigurationError` naming file, line and key.
    init(_ file: ConfigurationFile) throws {
        struct Top: Decodable {
            var name: String?
            var output: String?
            var seed: UInt64?
        }
        if case .mapping(let entries, _) = file.root {
            for (key, value) in entries
            where Pipeline.keys.contains(key) && !Self.keys.contains(key) {
                throw ConfigurationError(
                    place: value.place,
                    message: "\"\(key)\" and \"simulation\" in one file",
                    remedy: "a simulation needs no other stage; give each a file of its own"
                )
            }
        }
        let top = try file.root.without(["simulation"]).decode(
            Top.self,
            keys: Self.keys,
            section: "pipeline"
        )
        // "simulation:" with nothing below it takes every default.
        var stage = file.root["simulation"] ?? .mapping([], place: file.path)
        if case .scalar("", false, let place) = stage { stage = .mapping([], place: place) }
        if let output = top.output { stage = stage.defaulting("output", to: output) }
        var settings = try stage.decode(
            SimulationSettings.self,
            keys: SimulationSettings.CodingKeys.allCases.map(\.rawValue),
            section: "simulation"
        )
        if let seed = top.seed, stage["seed"] == nil { settings.seed = seed }
        try settings.validate()
        name = top.name ?? URL(fileURLWithPath: file.path).deletingPathExtension().lastPathComponent
        self.settings = settings
    }
}

/// The paper's simulation with its progress and words, for `run`.
enum SimulationStage {
    /// - Throws: `Failure` with code 75 when a stop was asked for.
    static func run(_ pipeline: SimulationPipeline, isJSON: Bool) throws {
        let start = Date()
        let settings = pipeline.settings
        let study = try SimulationStudy(settings)
        let lock = try DistillStage.lock(settings.output)
        defer { close(lock) }
        let output = URL(fileURLWithPath: settings.output)
        try Console.log(to: output.appendingPathComponent("log.txt"))
        let done = try study.stepsDone()
        let progress = ProgressLine(pipeline.name, unit: "steps")
        progress.start(at: Double(done))
        if done < study.totalSteps {
            Console.say(
                "\(pipeline.name): \(settings.points) points, \(settings.classes) classes, "
                    + "\(settings.steps) steps twice for each of "
                    + settings.divergences.joined(separator: ", ")
            )
        }
        func show(_ state: SimulationStudy.Progress) {
            progress.update(
                Double(state.steps),
                of: Double(state.total),
                detail: "\(state.divergence.rawValue), \(state.heads.title), loss "
                    + String(format: "%.4f", state.loss)
            )
        }
        let outcome = try study.run(shouldStop: { Signals.shouldStop }, progress: show)
        progress.finish()
        switch outcome {
        case .stopped(let divergence):
            throw Failure(
                "\(pipeline.name): stopped within \(divergence); the divergences before it are kept; "
                    + "run the same command again to go on",
                code: Failure.Code.stopped
            )
        case .finished(let report, let isNew):
            if isJSON {
                Console.print(try jsonText(report))
            } else {
                Console.print("\n" + report.table())
            }
            let time = ProgressLine.duration(Date().timeIntervalSince(start))
            Console.say(
                isNew
                    ? "\(pipeline.name): done in \(time); look at \(settings.output)/simulation.html"
                    : "\(pipeline.name): done already, in \(settings.output)/simulation.html"
            )
        }
    }

    /// What a run would do.
    static func plan(_ pipeline: SimulationPipeline) throws -> String {
        let settings = pipeline.settings
        let study = try SimulationStudy(settings)
        let lines = try settings.divergences.map { name in
            "  \(name)\(try study.isDone(name) ? " (done)" : "")"
        }
        return """
            simulation: \(settings.points) points, \(settings.classes) classes, 2 runs of \
            \(settings.steps) steps for each of
            \(lines.joined(separator: "\n"))
            output: \(settings.output)/simulation.html, simulation.json and a directory a divergence
            """
    }
}

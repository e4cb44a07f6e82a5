import Distill
import Foundation
import TestSupport
import Testing

@Suite("The paper's simulation, run as a person runs it", .serialized)
struct SimulationCommandTests {
    private let run = ["run", "simulation.yaml"]

    private func write(in folder: URL, _ text: String? = nil, steps: Int = 30) throws {
        let file = """
            name: figure
            output: out
            seed: 4
            simulation:
              points: 20
              classes: 200
              steps: \(steps)
              divergences: [js, forward_kl]
            """
        try Data((text ?? file).utf8).write(to: folder.appendingPathComponent("simulation.yaml"))
    }

    private func report(_ folder: URL) throws -> SimulationReport {
        let url = folder.appendingPathComponent("out/simulation.json")
        return try JSONDecoder().decode(SimulationReport.self, from: Data(contentsOf: url))
    }

    @Test("a plan makes nothing; a run prints its table; again it is left alone")
    func endToEnd() throws {
        try withFolder { folder in
            try write(in: folder)
            let plan = try RetortProcess.run(run + ["--dry-run"], in: folder)
            #expect(plan.code == 0 && plan.output.contains("20 points"), "\(plan.errors)")
            let output = folder.appendingPathComponent("out")
            #expect(!FileManager.default.fileExists(atPath: output.path))

            let first = try RetortProcess.run(run, in: folder)
            #expect(first.code == 0, "\(first.errors)")
            #expect(first.output.contains("between pairs"))
            let report = try report(folder)
            #expect(report.divergences.map(\.divergence) == ["js", "forward_kl"])
            #expect(report.settings["seed"] == "4")
            let page = output.appendingPathComponent("simulation.html").path
            let made = try FileManager.default.attributesOfItem(atPath: page)[.modificationDate]

            let again = try RetortProcess.run(run, in: folder)
            #expect(again.code == 0 && again.output == first.output)
            #expect(again.errors.contains("done already"))
            let later = try FileManager.default.attributesOfItem(atPath: page)[.modificationDate]
            #expect(made as? Date == later as? Date)
            let planned = try RetortProcess.run(run + ["--dry-run"], in: folder)
            #expect(planned.output.contains("js (done)"))

            let json = try RetortProcess.run(run + ["--json"], in: folder)
            let printed = Data(json.output.utf8)
            #expect(try JSONDecoder().decode(SimulationReport.self, from: printed) == report)

            let other = try RetortProcess.run(run + ["--set", "seed=5"], in: folder)
            #expect(other.code == 73 && other.errors.contains("seed: 5 here, 4 there"))
        }
    }

    @Test("Ctrl-C exits 75, and the next run ends with the same numbers")
    func interrupt() throws {
        try withFolder { folder in
            let whole = try makeFolder("whole", in: folder)
            let stopped = try makeFolder("stopped", in: folder)
            for place in [whole, stopped] { try write(in: place, steps: 4000) }
            #expect(try RetortProcess.run(run, in: whole).code == 0)
            let process = try RetortProcess(run, in: stopped)
            let result = stopped.appendingPathComponent("out/js/result.json").path
            while process.isRunning, !FileManager.default.fileExists(atPath: result) {
                usleep(500)
            }
            process.send(SIGINT)
            let end = try process.wait()
            #expect(end.code == 75, "\(end.errors)")
            #expect(end.errors.contains("stopped within forward_kl"))
            #expect(end.errors.contains("run the same command again"))
            #expect(try RetortProcess.run(run, in: stopped).code == 0)
            #expect(try report(stopped) == report(whole))
        }
    }

    @Test(
        "a file that is not a simulation alone, or misspelt, is refused with the line and the remedy",
        arguments: [
            ("output: out\nsimulation: {}\nextract: {}\n", ":3: \"extract\" and \"simulation\""),
            ("output: out\nsimulatoin: {}\n", "did you mean \"simulation\""),
            ("outptu: out\nsimulation: {}\n", "did you mean \"output\""),
            ("simulation: {}\n", "\"simulation.output\" is missing"),
            ("output: out\nsimulation: {point: 3}\n", "did you mean \"points\""),
            ("output: out\nsimulation: {points: 1}\n", "simulation.points: 1 makes no sense"),
            ("output: out\nsimulation: {divergences: [jz]}\n", "did you mean \"js\""),
            ("output: out\nsimulation: 3\n", "\"simulation\" is not a list of settings"),
        ]
    )
    func refusals(text: String, words: String) throws {
        try withFolder { folder in
            try write(in: folder, text)
            let result = try RetortProcess.run(run, in: folder)
            #expect(result.code == 64 && result.errors.contains(words), "\(result.errors)")
        }
    }
}

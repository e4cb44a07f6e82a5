import Foundation
import Pages

/// The simulation for every divergence of its settings, in a directory.
///
/// Each divergence leaves a directory of its own as soon as it is done (`result.json`), and is not done
/// again: a stop loses at most the one that was being done. The pictures, `simulation.json` and
/// `simulation.html` are made of those.
public struct SimulationStudy {
    /// How a run ended.
    public enum Outcome {
        /// All is there; whether anything had to be computed or written.
        case finished(SimulationReport, isNew: Bool)
        /// A stop was asked for within a divergence.
        case stopped(divergence: String)
    }

    /// How far a study is.
    public struct Progress {
        /// Steps done of all runs, those of an earlier call included.
        public let steps: Int
        /// See `steps`.
        public let total: Int
        /// What is being done.
        public let divergence: Divergence
        /// See `divergence`.
        public let heads: SimulationHeads
        /// Of the run's last step.
        public let loss: Double
    }

    private let settings: SimulationSettings
    private let simulation: Simulation
    private let fingerprint: [String: String]
    private let directory: URL

    /// Nothing is made yet.
    ///
    /// - Throws: What `SimulationSettings.validate` throws.
    public init(_ settings: SimulationSettings) throws {
        self.settings = settings
        simulation = try Simulation(settings)
        fingerprint = try settings.fingerprint()
        directory = URL(fileURLWithPath: settings.output)
    }

    /// Steps of all runs.
    public var totalSteps: Int { 2 * settings.steps * settings.divergences.count }

    /// Steps of the divergences that are done.
    ///
    /// - Throws: `DistillError.differentRun`.
    public func stepsDone() throws -> Int {
        2 * settings.steps * (try settings.divergences.filter(isDone).count)
    }

    /// Whether the results of a divergence are there.
    ///
    /// - Throws: `DistillError.differentRun` where they are those of other settings.
    public func isDone(_ divergence: String) throws -> Bool { try known(divergence) != nil }

    /// Does what is missing.
    ///
    /// - Throws: `DistillError.differentRun` before anything is done where a result of other settings
    ///   lies in the directory; `SimulationError.diverged`; `DistillError.file`.
    public func run(
        shouldStop: () -> Bool,
        progress: (Progress) -> Void
    ) throws -> Outcome {
        var steps = try stepsDone()
        var isNew = false
        var results: [SimulationResult] = []
        for name in settings.divergences {
            if let known = try known(name) {
                results.append(known)
                continue
            }
            let divergence = Divergence(rawValue: name) ?? .forwardKL
            func run(_ heads: SimulationHeads) throws -> SimulationRun? {
                try simulation.run(divergence, heads) { _, loss in
                    steps += 1
                    progress(
                        Progress(
                            steps: steps,
                            total: totalSteps,
                            divergence: divergence,
                            heads: heads,
                            loss: loss
                        )
                    )
                    return !shouldStop()
                }
            }
            guard let different = try run(.different), let shared = try run(.shared) else {
                return .stopped(divergence: name)
            }
            let result = SimulationResult(
                divergence: name,
                settings: fingerprint,
                before: Simulation.pairs(simulation.student),
                teacher: Simulation.pairs(simulation.teacher),
                different: different,
                shared: shared
            )
            let folder = directory.appendingPathComponent(name)
            try RunFiles.makeDirectory(folder)
            try RunFiles.write(try RunFiles.json(result), to: resultFile(name))
            results.append(result)
            isNew = true
        }
        let report = SimulationReport(results)
        if try write(results, report) { isNew = true }
        return .finished(report, isNew: isNew)
    }

    private func resultFile(_ divergence: String) -> URL {
        directory.appendingPathComponent(divergence).appendingPathComponent("result.json")
    }

    /// The result of an earlier call; nil where there is none, or none that can be read.
    private func known(_ divergence: String) throws -> SimulationResult? {
        let url = resultFile(divergence)
        guard let result = SimulationResult.read(url) else { return nil }
        let differences = Set(fingerprint.keys).union(result.settings.keys).sorted().compactMap {
            key -> String? in
            let (here, there) = (fingerprint[key] ?? "none", result.settings[key] ?? "none")
            return here == there ? nil : "\(key): \(here) here, \(there) there"
        }
        guard differences.isEmpty else {
            throw DistillError.differentRun(path: url.path, differences: differences)
        }
        return result
    }

    /// Writes what is not there as it should be, and says whether there was any such thing.
    private func write(_ results: [SimulationResult], _ report: SimulationReport) throws -> Bool {
        var files: [(URL, Data)] = []
        for result in results {
            let folder = directory.appendingPathComponent(result.divergence)
            for (name, svg) in SimulationPage.pictures(result) {
                files.append((folder.appendingPathComponent("\(name).svg"), Data(svg.file.utf8)))
            }
        }
        let page = SimulationPage.html(results, report)
        files.append((directory.appendingPathComponent("simulation.html"), Data(page.utf8)))
        files.append(
            (directory.appendingPathComponent("simulation.json"), try RunFiles.json(report))
        )
        let stale = files.filter { (try? Data(contentsOf: $0.0)) != $0.1 }
        for (url, data) in stale { try RunFiles.write(data, to: url) }
        return !stale.isEmpty
    }
}

import Foundation

/// Runs that are still going: what they have measured so far, read as it comes.
public final class LiveRuns {
    private let paths: [String]
    private var tails: [URL: MetricsTail] = [:]
    private var histories: [URL: RunHistory] = [:]
    /// The runs as they were at the last `update`.
    public private(set) var runs: [ReportRun] = []

    /// - Throws: `ReportError.noRun`.
    public init(_ paths: [String]) throws(ReportError) {
        self.paths = paths
        try update()
    }

    /// Reads what is new; a pipeline's directory may have more runs than before.
    ///
    /// - Throws: `ReportError.noRun` where the runs are gone.
    public func update() throws(ReportError) {
        var found: [URL] = []
        var seen: Set<URL> = []
        for path in paths {
            do {
                for directory in try ReportRun.directories(at: path)
                where seen.insert(directory).inserted { found.append(directory) }
            } catch {
                // A pipeline that still extracts has no run yet.
                guard case .noRun = error, Self.isPipeline(path) else { throw error }
            }
        }
        runs = ReportRun.named(
            found.map { directory in
                let file = directory.appendingPathComponent(RunHistory.file)
                let tail = tails[directory] ?? MetricsTail(file)
                tails[directory] = tail
                histories[directory, default: RunHistory()].add(from: tail)
                return ReportRun(directory, history: histories[directory] ?? RunHistory())
            }
        )
    }

    /// Whether a directory is one that `retort run` fills: it begins with its log.
    private static func isPipeline(_ path: String) -> Bool {
        let directory = URL(fileURLWithPath: path, isDirectory: true)
        return !ReportRun.isRun(directory) && has(directory, "log.txt")
    }

    private static func has(_ directory: URL, _ file: String) -> Bool {
        FileManager.default.fileExists(atPath: directory.appendingPathComponent(file).path)
    }

    /// Whether nothing is left to do: all runs are finished and, of a pipeline, they are measured.
    public var areFinished: Bool {
        runs.allSatisfy { $0.done != nil }
            && paths.allSatisfy { path in
                !Self.isPipeline(path)
                    || Self.has(URL(fileURLWithPath: path, isDirectory: true), "eval.json")
            }
    }

    /// What was measured of the runs, read anew where a file has changed.
    public func evals() -> (found: [ReportEval], unreadable: [URL]) {
        let directories = runs.map(\.directory)
        let places = Set(directories.flatMap { [$0, $0.deletingLastPathComponent()] })
        let stamps = places.map { directory -> String in
            let path = directory.appendingPathComponent("eval.json").path
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            return "\(path) \(attributes?[.modificationDate] ?? "") \(attributes?[.size] ?? "")"
        }.sorted()
        if let known, known.stamps == stamps { return known.evals }
        let evals = ReportEval.beside(directories)
        known = (stamps, evals)
        return evals
    }

    private var known: (stamps: [String], evals: (found: [ReportEval], unreadable: [URL]))?
}

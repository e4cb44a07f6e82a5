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
        for path in paths {
            for directory in try ReportRun.directories(at: path) where !found.contains(directory) {
                found.append(directory)
            }
        }
        runs = found.map { directory in
            let file = directory.appendingPathComponent(RunHistory.file)
            let tail = tails[directory] ?? MetricsTail(file)
            tails[directory] = tail
            histories[directory, default: RunHistory()].add(tail.read())
            return ReportRun(directory, history: histories[directory] ?? RunHistory())
        }
    }

    /// Whether none of them has anything left to do.
    public var areFinished: Bool { runs.allSatisfy { $0.done != nil } }
}

import Cache
import Distill
import Foundation

/// A run's directory, as far as a report tells of it.
public struct ReportRun: Sendable {
    /// What it is called; no two runs of a report have one name.
    public var name: String
    /// Where it lies.
    public let directory: URL
    /// What it was trained with; nil where the run does not say.
    public let settings: DistillSettings?
    /// What it measured as it went.
    public let history: RunHistory
    /// What it came to; nil while it is not finished.
    public let done: DoneRecord?

    /// Reads a run's small files, and `metrics.jsonl` unless its history is known.
    public init(_ directory: URL, history: RunHistory? = nil) {
        self.directory = directory
        name = directory.standardizedFileURL.lastPathComponent
        settings = DistillSettings.resolved(in: directory)
        self.history = history ?? RunHistory(directory)
        done = DoneRecord.read(directory)
    }

    /// Steps that it is to have.
    public var steps: Int? { done?.steps ?? history.last?.steps ?? settings?.steps }

    /// Whether a directory is a run's.
    public static func isRun(_ directory: URL) -> Bool {
        [RunHistory.file, "config.resolved.json"].contains {
            FileManager.default.fileExists(atPath: directory.appendingPathComponent($0).path)
        }
    }

    /// The runs that a path stands for: itself, or those in a pipeline's directory, in the order of their names.
    ///
    /// - Throws: `ReportError.noRun`.
    public static func directories(at path: String) throws(ReportError) -> [URL] {
        let url = URL(fileURLWithPath: path, isDirectory: true)
        if isRun(url) { return [url] }
        let inside = (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
        let runs = inside.sorted().map { url.appendingPathComponent($0, isDirectory: true) }
            .filter(isRun)
        guard !runs.isEmpty else { throw .noRun(path) }
        return runs
    }

    /// Gives runs of one name as much of their paths as tells them apart.
    static func named(_ runs: [ReportRun]) -> [ReportRun] {
        var runs = runs
        for depth in 2...8 {
            let counts = Dictionary(grouping: runs, by: \.name).mapValues(\.count)
            guard counts.values.contains(where: { $0 > 1 }) else { break }
            for index in runs.indices where counts[runs[index].name] ?? 0 > 1 {
                let parts = runs[index].directory.standardizedFileURL.pathComponents
                runs[index].name = parts.suffix(depth).joined(separator: "/")
            }
        }
        return runs
    }
}

/// What a report cannot be made of.
public enum ReportError: Error, CustomStringConvertible, Equatable {
    /// Nothing at a path is a run.
    case noRun(String)
    /// A file of measurements that was asked for.
    case unreadable(String)

    /// With the remedy.
    public var description: String {
        switch self {
        case .noRun(let path):
            "\(path): no run, nor a directory of runs: there is no \(RunHistory.file) and no config.resolved.json; "
                + "give the output directory of `retort distill` or `retort run`"
        case .unreadable(let path):
            "\(path): no measurements that can be read; `retort eval … --output FILE` writes them"
        }
    }
}

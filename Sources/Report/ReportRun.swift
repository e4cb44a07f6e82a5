import Cache
import Distill
import Foundation

/// A run's directory, as far as a report tells of it.
public struct ReportRun: Sendable {
    /// What it is called; no two runs of a report have one name.
    public fileprivate(set) var name: String
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
        var isDirectory: ObjCBool = false
        guard !path.isEmpty,
            FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        else { throw .missing(path) }
        let inside = try? FileManager.default.contentsOfDirectory(atPath: url.path)
        guard isDirectory.boolValue, let inside else { throw .noDirectory(path) }
        let runs = inside.sorted().filter { !$0.hasPrefix(".") }
            .map { url.appendingPathComponent($0, isDirectory: true) }
            .filter { isRun($0) && !isLink($0) }
        guard !runs.isEmpty else { throw .noRun(path) }
        return runs
    }

    /// A pipeline's directory may be a stranger's, and a link in it lead anywhere.
    private static func isLink(_ directory: URL) -> Bool {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: directory.path)) != nil
    }

    /// Gives runs of one name as much of their paths as tells them apart.
    static func named(_ runs: [ReportRun]) -> [ReportRun] {
        let names = PathNames.distinct(runs.map(\.directory.standardizedFileURL.path))
        return zip(runs, names).map { run, name in
            var run = run
            run.name = DisplayText.name(name, to: 120)
            return run
        }
    }
}

/// What a report cannot be made of.
public enum ReportError: Error, CustomStringConvertible, Equatable {
    /// Nothing lies at a path.
    case missing(String)
    /// What lies there is no directory, or none that may be read.
    case noDirectory(String)
    /// Nothing in a directory is a run.
    case noRun(String)
    /// A file of measurements that was asked for.
    case unreadable(String)

    /// With the remedy.
    public var description: String {
        switch self {
        case .missing(let path):
            "\(path.isEmpty ? "(nothing)" : path): there is no such file or directory"
        case .noDirectory(let path): "\(path): no directory that can be read; give a run's"
        case .noRun(let path):
            "\(path): no run, nor a directory of runs: there is no \(RunHistory.file) and no config.resolved.json; "
                + "give the output directory of `retort distill` or `retort run`"
        case .unreadable(let path):
            "\(path): no measurements that can be read; `retort eval … --output FILE` writes them"
        }
    }
}

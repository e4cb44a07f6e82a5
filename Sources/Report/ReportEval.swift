import Distill
import Foundation

/// An `eval.json` with what lies beside it.
public struct ReportEval: Sendable {
    /// Where it lies.
    public let url: URL
    /// The teacher first, then the models.
    public let reports: [EvalReport]
    /// Examples with what was measured of them; empty where the file is not there.
    let examples: [EvalExample]
    /// Pictures; empty where the file is not there.
    let maps: EvalMaps
    /// What could not be read.
    let complaints: [String]

    /// More than that is none of ours, and would take long.
    private static let mostBytes = 512 << 20
    private static let longestLine = 16 << 20

    /// - Throws: `ReportError.unreadable`.
    public init(_ url: URL) throws(ReportError) {
        guard let file = EvalFile.read(url) else { throw .unreadable(url.path) }
        self.url = url
        reports = file.reports.map(Self.shortened)
        let beside = EvalFile.beside(url)
        var complaints: [String] = []
        var examples: [EvalExample] = []
        if let data = RunFiles.read(beside[0], limit: Self.mostBytes) {
            let decoder = JSONDecoder()
            var unreadable = 0
            for line in data.split(separator: UInt8(ascii: "\n")) {
                if line.count <= Self.longestLine,
                    let example = try? decoder.decode(EvalExample.self, from: Data(line))
                {
                    examples.append(example)
                } else {
                    unreadable += 1
                }
            }
            if unreadable > 0 {
                complaints.append(
                    "\(beside[0].lastPathComponent): \(unreadable) lines could not be read"
                )
            }
        }
        var maps = EvalMaps()
        if let data = RunFiles.read(beside[1], limit: Self.mostBytes) {
            if let found = try? JSONDecoder().decode(EvalMaps.self, from: data) {
                maps = found
            } else {
                complaints.append("\(beside[1].lastPathComponent) could not be read")
            }
        }
        (self.examples, self.maps, self.complaints) = (examples, maps, complaints)
    }

    /// With names that a page can show: a stranger's file may hold any.
    private static func shortened(_ report: EvalReport) -> EvalReport {
        var report = report
        report.name = String(report.name.prefix(longestName))
        report.split = String(report.split.prefix(longestName))
        report.baseline = report.baseline.map { String($0.prefix(longestName)) }
        return report
    }

    private static let longestName = 120

    /// The models, without the teacher.
    var models: [EvalReport] { Array(reports.dropFirst()) }

    /// Pictures by their models, as these are ordered.
    var mapped: [(name: String, model: EvalMaps.Model)] {
        models.compactMap { report in maps.models[report.name].map { (report.name, $0) } }
    }

    /// The measurements of runs: those in their own directories and in the directories above, each once.
    public static func beside(_ runs: [URL]) -> [ReportEval] {
        var seen: Set<String> = []
        var found: [ReportEval] = []
        for run in runs.map(\.standardizedFileURL) {
            for directory in [run, run.deletingLastPathComponent()] {
                let url = directory.appendingPathComponent("eval.json")
                guard seen.insert(url.path).inserted, let eval = try? ReportEval(url) else {
                    continue
                }
                let names = Set(eval.models.map { ($0.name as NSString).lastPathComponent })
                // One in the directory above may be of other runs.
                if directory == run
                    || runs.contains(where: { names.contains($0.lastPathComponent) })
                {
                    found.append(eval)
                }
            }
        }
        return found
    }
}

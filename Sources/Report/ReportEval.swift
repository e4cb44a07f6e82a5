import Cache
import Distill
import Foundation

/// An `eval.json` with what lies beside it.
public struct ReportEval: Sendable {
    /// Where it lies.
    public let url: URL
    /// The teacher first, then the models, under short names.
    public private(set) var reports: [EvalReport]
    /// Examples with what was measured of them; empty where the file is not there.
    let examples: [EvalExample]
    /// What the models are called in `examples` and `maps`, in the order of `models`.
    private let keys: [String]
    private let maps: EvalMaps
    /// What could not be read.
    let complaints: [String]

    /// More is none of ours, and would take long.
    private static let mostExampleBytes = 256 << 20, mostMapBytes = 8 << 20, mostModels = 64
    private static let longestLine = 16 << 20, longestName = 120

    /// - Throws: `ReportError.missing`, `ReportError.unreadable`.
    public init(_ url: URL) throws(ReportError) {
        guard let file = EvalFile.read(url) else {
            let isThere = FileManager.default.fileExists(atPath: url.path)
            throw isThere ? .unreadable(url.path) : .missing(url.path)
        }
        self.url = url
        var reports = Array(file.reports.prefix(Self.mostModels))
        keys = reports.dropFirst().map(\.name)
        let names = Self.names(reports)
        let shortened = Dictionary(
            zip(reports.map(\.name), names),
            uniquingKeysWith: { first, _ in first }
        )
        for index in reports.indices {
            reports[index].name = names[index]
            reports[index].split = DisplayText.cut(reports[index].split, to: Self.longestName)
            reports[index].baseline = reports[index].baseline.map {
                shortened[$0] ?? DisplayText.cut($0, to: Self.longestName)
            }
            if reports[index].calibration?.isPlausible == false { reports[index].calibration = nil }
        }
        self.reports = reports
        var complaints: [String] = []
        (examples, maps) = Self.beside(url, file, &complaints)
        if reports.count < file.reports.count {
            complaints.append(
                "\(url.lastPathComponent): only the first \(reports.count) models are shown"
            )
        }
        self.complaints = complaints
    }

    /// The last part of each model's path that tells it from the others; of a run's student the run's.
    private static func names(_ reports: [EvalReport]) -> [String] {
        let paths = reports.map { report in
            let name = DisplayText.name(report.name, to: longestName)
            return name.hasSuffix("/student") ? String(name.dropLast("/student".count)) : name
        }
        return PathNames.distinct(paths)
    }

    private static func beside(
        _ url: URL,
        _ file: EvalFile,
        _ complaints: inout [String]
    ) -> (examples: [EvalExample], maps: EvalMaps) {
        let places = EvalFile.beside(url)
        let there = places.filter { FileManager.default.fileExists(atPath: $0.path) }
        if file.beside != nil, there.count == places.count, !file.isWhole(at: url) {
            complaints.append(
                "\(url.lastPathComponent): the examples and maps beside it are of another measurement; "
                    + "measure again to see them"
            )
            return ([], EvalMaps())
        }
        let decoder = JSONDecoder()
        var examples: [EvalExample] = []
        if there.contains(places[0]) {
            let data = RunFiles.read(places[0], limit: mostExampleBytes)
            var unreadable = 0
            for line in (data ?? Data()).split(separator: UInt8(ascii: "\n")) {
                if line.count <= longestLine,
                    let example = try? decoder.decode(EvalExample.self, from: Data(line))
                {
                    examples.append(example)
                } else {
                    unreadable += 1
                }
            }
            let name = places[0].lastPathComponent
            if data == nil { complaints.append("\(name) could not be read") }
            if unreadable > 0 {
                complaints.append("\(name): \(unreadable) lines could not be read")
            }
        }
        guard there.contains(places[1]) else { return (examples, EvalMaps()) }
        let maps = RunFiles.read(places[1], limit: mostMapBytes)
            .flatMap { try? decoder.decode(EvalMaps.self, from: $0) }
        if maps == nil { complaints.append("\(places[1].lastPathComponent) could not be read") }
        return (examples, maps ?? EvalMaps())
    }

    /// The models, without the teacher.
    var models: [EvalReport] { Array(reports.dropFirst()) }

    /// Pictures by their models, as these are ordered.
    var mapped: [(name: String, model: EvalMaps.Model)] {
        zip(models, keys).compactMap { report, key in maps.models[key].map { (report.name, $0) } }
    }

    /// What was measured of each example, by model.
    var exampled: [(name: String, examples: [(EvalExample, EvalExample.Model)])] {
        zip(models, keys).map { report, key in
            (
                report.name,
                examples.compactMap { example in example.models[key].map { (example, $0) } }
            )
        }
    }

    /// The same with a word before all names: for a page that shows several.
    func renamed(_ word: String) -> ReportEval {
        var renamed = self
        for index in reports.indices {
            renamed.reports[index].name = "\(word): \(reports[index].name)"
            renamed.reports[index].baseline = reports[index].baseline.map { "\(word): \($0)" }
        }
        return renamed
    }

    /// The measurements of runs: those in their own directories and in the directories above, each once; and the
    /// files of that name that cannot be read.
    public static func beside(_ runs: [URL]) -> (found: [ReportEval], unreadable: [URL]) {
        var seen: Set<String> = []
        var found: [ReportEval] = []
        var unreadable: [URL] = []
        for run in runs.map(\.standardizedFileURL) {
            let above = run.deletingLastPathComponent()
            for directory in [run, above] {
                let url = directory.appendingPathComponent("eval.json")
                guard seen.insert(url.path).inserted,
                    FileManager.default.fileExists(atPath: url.path)
                else { continue }
                guard let eval = try? ReportEval(url) else {
                    unreadable.append(url)
                    continue
                }
                // One in the directory above may be of other runs.
                let names = Set(
                    eval.keys.flatMap { $0.split(separator: "/").suffix(2).map(String.init) }
                )
                let isOfRuns = runs.contains {
                    $0.standardizedFileURL.deletingLastPathComponent() == above
                        && names.contains($0.lastPathComponent)
                }
                if directory == run || isOfRuns { found.append(eval) }
            }
        }
        return (found, unreadable)
    }
}

extension Calibration {
    /// Whether it is one that a measurement can have made: a stranger's file may hold any numbers.
    var isPlausible: Bool {
        bins.count == Self.binCount && (0...1).contains(error)
            && bins.allSatisfy {
                (0...1 << 50).contains($0.count) && (0...1).contains($0.confidence)
                    && (0...1).contains($0.accuracy)
            }
    }
}

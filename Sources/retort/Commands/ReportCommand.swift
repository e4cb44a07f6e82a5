import ArgumentParser
import Cache
import Distill
import Foundation
import Report

/// A page about runs.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make one HTML file that shows how runs went and what came out.",
        discussion: """
            A run is the output directory of `retort distill`; the directory of a pipeline stands for the runs in \
            it. The page holds losses, learning rates, gradients and speed of all runs, what the cache is made of, \
            and, where `retort run` or `retort eval --output` has measured them, scores with intervals, \
            calibration, similarity, alignment, and the worst and best examples. The file loads nothing from \
            anywhere, and runs nothing; runs that are still going are shown as they are now.

            Examples:
              retort report runs/quickstart
              retort report runs/quickstart/sft runs/quickstart/dskd --output report.html --replace
            """
    )

    @Argument(help: "Runs, or directories that hold runs.")
    var runs: [String]

    @Option(help: "Where the page goes.")
    var output = "report.html"

    @Option(
        help: "An eval.json to show (default: those beside the runs); may be given several times."
    )
    var eval: [String] = []

    @Option(
        help:
            "A cache to show (default: the one that the runs were trained from, where it is found)."
    )
    var cache: String?

    @Flag(help: "Write over a file that is there.")
    var replace = false

    func run() throws {
        let page = try ReportStage.page(runs, evals: eval, cache: cache)
        try OutputFile.check(
            output,
            replace: replace,
            sources: page.sources.map(\.path) + eval
        )
        try ReportStage.write(page, to: URL(fileURLWithPath: output))
        Console.say("report: \(output) shows \(page.runs.map(\.name).joined(separator: ", "))")
    }
}

/// Reads what a report is made of.
enum ReportStage {
    /// - Throws: `ReportError`; `CacheError` for a cache that was asked for by name.
    static func page(_ paths: [String], evals: [String], cache: String?) throws -> ReportPage {
        var seen: Set<String> = []
        let directories = try paths.flatMap { try ReportRun.directories(at: $0) }
            .filter { seen.insert($0.standardizedFileURL.path).inserted }
        let runs = directories.map { ReportRun($0) }
        let urls = evals.map { URL(fileURLWithPath: $0) }
        let answers = urls.map { AnswerReport.read($0) }
        let beside = evals.isEmpty ? ReportEval.beside(directories) : (found: [], unreadable: [])
        let named = try zip(urls, answers).filter { $0.1 == nil }.map { try ReportEval($0.0) }
        return ReportPage(
            runs: runs,
            evals: beside.found + named,
            answers: zip(urls, answers).compactMap { url, found in
                found.map { (url.lastPathComponent, $0) }
            },
            unreadable: beside.unreadable,
            cache: try cache.map { try read($0, runs) } ?? trainedFrom(runs)
        )
    }

    /// Writes a page, whole or not at all.
    ///
    /// - Throws: `DistillError.file`.
    static func write(_ page: ReportPage, to url: URL) throws {
        try RunFiles.write(Data(page.html().utf8), to: url)
    }

    /// Writes the page of a pipeline that is done, over the one of the last time.
    static func write(_ runs: [String], to url: URL) throws {
        try write(try page(runs, evals: [], cache: nil), to: url)
    }

    private static func read(_ path: String, _ runs: [ReportRun]) throws -> ReportCache {
        let reader = try CacheReader(directory: URL(fileURLWithPath: path), unfinished: true)
        let recorded = runs.compactMap { RunRecord.cache(of: $0.directory) }
        let isAnother = !recorded.isEmpty && !recorded.contains(reader.contentSHA256)
        return try ReportCache(
            reader,
            path: path,
            doubt: isAnother ? "By their records these runs were trained from another cache." : nil
        )
    }

    /// The cache that a run was trained from: where its settings say or beside it, if what lies there is what the run
    /// has recorded.
    ///
    /// Settings may be a stranger's: what merely lies where they point is not shown.
    static func trainedFrom(_ runs: [ReportRun]) -> ReportCache? {
        for run in runs {
            guard let wanted = RunRecord.cache(of: run.directory) else { continue }
            let beside = run.directory.deletingLastPathComponent().appendingPathComponent("cache")
            for path in [run.settings?.cache, beside.relativePath].compactMap({ $0 }) {
                guard
                    let reader = try? CacheReader(
                        directory: URL(fileURLWithPath: path),
                        unfinished: true
                    ), reader.contentSHA256 == wanted
                else { continue }
                return try? ReportCache(reader, path: path)
            }
        }
        return nil
    }
}

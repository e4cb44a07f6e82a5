import Cache
import Distill
import Foundation
import Pages

/// Runs, what was measured of them, and the page that shows both.
public struct ReportPage {
    /// The runs, each under a name of its own.
    public let runs: [ReportRun]
    /// Their measurements.
    public let evals: [ReportEval]
    /// What models scored on files of prompts, by the files' names.
    let answers: [(file: String, report: AnswerReport)]
    /// The cache that they were trained from; nil where it is not here.
    public let cache: ReportCache?
    /// Files of measurements that cannot be read.
    let unreadable: [URL]

    /// A page of some runs.
    package init(
        runs: [ReportRun],
        evals: [ReportEval],
        answers: [(file: String, report: AnswerReport)] = [],
        unreadable: [URL] = [],
        cache: ReportCache?
    ) {
        (self.answers, self.unreadable) = (answers, unreadable)
        // As they were measured: the baseline comes before what is compared with it.
        let order = Dictionary(
            evals.flatMap(\.models).enumerated().map { ($0.element.name, $0.offset) },
            uniquingKeysWith: { first, _ in first }
        )
        let places = runs.enumerated().map { index, run in
            (order[run.directory.lastPathComponent] ?? order.count, index)
        }
        self.runs = ReportRun.named(
            runs.indices.sorted { places[$0] < places[$1] }.map { runs[$0] }
        )
        let words = PathNames.distinct(
            evals.map { $0.url.standardizedFileURL.deletingLastPathComponent().path }
        )
        self.evals = evals.count > 1 ? zip(evals, words).map { $0.renamed($1) } : evals
        self.cache = cache
    }

    /// Files that it was made from, and must not be written over.
    package var sources: [URL] {
        let files = [RunHistory.file, "config.resolved.json", "done.json", "run.json"]
        let measured = evals.map(\.url) + unreadable
        return runs.flatMap { run in files.map { run.directory.appendingPathComponent($0) } }
            + measured.flatMap { [$0] + EvalFile.beside($0) }
    }

    /// A section: what its heading links to, the heading, and what follows.
    struct Section {
        let id: String
        let title: String
        let body: String
    }

    /// Characters of a text that are shown at most.
    static let textLimit = 4_000

    /// One file with everything in it: it loads nothing and runs nothing.
    ///
    /// - Parameter script: The address of a script of the same server, for a page that keeps itself up to date;
    ///   nil for a file.
    public func html(script: String? = nil) -> String {
        let sections = sections
        let names = runs.map(\.name).joined(separator: ", ")
        let policy =
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
            + (script == nil ? "" : "; script-src 'self'; connect-src 'self'")
        let links = sections.map {
            "<li><a href=\"#\($0.id)\">\(Markup.escaped($0.title))</a></li>"
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta http-equiv="Content-Security-Policy" content="\(policy)"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <meta name="generator" content="retort report"/>
            <title>\(Markup.escaped(DisplayText.cut(names, to: 120))) – Retort report</title>
            <style>
            \(ReportStyle.css)
            \(Picture.style)
            </style>
            \(script.map { "<script src=\"\(Markup.escaped($0))\" defer></script>" } ?? "")
            </head>
            <body>
            <a class="skip" href="#content">Skip to the report</a>
            <header>
            <h1>\(Self.headline(runs))</h1>
            <nav aria-label="Sections"><ul>\(links.joined())</ul></nav>
            </header>
            <main id="content">
            \(sections.map(Self.markup).joined(separator: "\n"))
            </main>
            <footer><p>\(script == nil ? Self.fileNote : Self.servedNote)</p></footer>
            </body>
            </html>

            """
    }

    private static let fileNote =
        "Made by <code>retort report</code>. This file loads nothing and runs nothing."
    private static let servedNote =
        "Served by <code>retort watch --serve</code> to this machine alone."

    private static func headline(_ runs: [ReportRun]) -> String {
        let shown = runs.prefix(8).map { "<bdi>\(Markup.escaped($0.name))</bdi>" }
        let more = runs.count > 8 ? " and \(runs.count - 8) more" : ""
        return shown.joined(separator: ", ") + more
    }

    private static func markup(_ section: Section) -> String {
        """
        <section id="\(section.id)" aria-labelledby="\(section.id)-title">
        <h2 id="\(section.id)-title">\(Markup.escaped(section.title))</h2>
        \(section.body)
        </section>
        """
    }

    private var sections: [Section] {
        let evals = EvalSections(evals)
        return [
            Section(id: "summary", title: "Summary", body: ReportSummary(self).body),
            Section(id: "losses", title: "Losses", body: CurveSections(runs).losses),
            Section(id: "training", title: "Training", body: CurveSections(runs).training),
            Section(id: "cache", title: "Cache", body: cacheBody),
            Section(id: "scores", title: "Scores", body: evals.scores),
            Section(id: "answers", title: "Answers", body: answersBody),
            Section(id: "calibration", title: "Calibration", body: evals.calibration),
            Section(id: "similarity", title: "Representation", body: evals.similarity),
            Section(id: "alignment", title: "Alignment", body: evals.alignment),
            Section(id: "examples", title: "Examples", body: ExampleSections(self.evals).body),
        ].filter { !$0.body.isEmpty }
    }

    private var answersBody: String {
        answers.map { file, report in
            let rows = report.rows.map { $0.map { Block.Cell($0) } }
            return Block.table(
                DisplayText.cut("\(file): answers to \(report.data)", to: 200),
                AnswerReport.columns,
                rows
            )
                + report.notes.map { Block.paragraph($0, "soft") }.joined()
        }.joined(separator: "\n")
    }

    private var cacheBody: String {
        cache?.body
            ?? "<p>The cache that these runs were trained from is neither where their settings say nor beside them; "
            + "<code>retort report --cache DIR</code> shows it.</p>"
    }
}

import Foundation
import Pages
import Scores
import TestSupport
import Testing

@testable import Distill
@testable import Report

@Suite("The report's page")
struct ReportPageTests {
    private static let hostile =
        "<script>alert(1)</script>\"'&amp;\u{202E}gpj.exe\u{1B}[31m\u{0}<img src=x onerror=alert(2)>"

    private func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }

    /// A run, measurements, examples and maps in which every text is a stranger's.
    private func write(in folder: URL, _ text: String) throws -> URL {
        let quoted = try json(text)
        let run = try RunFolder(folder, "run")
        for step in 1...30 {
            let line = RunFolder.line(step, of: 30, total: 4, more: ", \"skipped\": \(quoted)")
            try run.append(line.replacing("\"ce\"", with: "\(quoted): 2, \"ce\""))
        }
        var report = EvalReport(name: "run", split: text)
        report.baseline = text
        report.differences = [:]
        var teacher = report
        teacher.name = text
        let file = EvalFile(inputs: [:], reports: [teacher, report])
        try run.append(json(file), to: "eval.json")
        let example =
            "{\"id\": \(quoted), \"prompt\": \(quoted), \"input\": \(quoted), \"reference\": \(quoted), "
            + "\"teacher\": {\"text\": \(quoted), \"cross_entropy_per_byte\": 1}, \"models\": {\"run\": "
            + "{\"cross_entropy_per_byte\": 2, \"answer\": \(quoted), \"rougeL\": 0.5}}}\n"
        try run.append(example + "{\n", to: "eval.examples.jsonl")
        let row = "[" + [String](repeating: "0.5", count: 60).joined(separator: ",") + "]"
        let matrix = "[" + [String](repeating: row, count: 60).joined(separator: ",") + "]"
        let tokens = "[" + [String](repeating: quoted, count: 60).joined(separator: ",") + "]"
        let side = "{\"inputs\": \(tokens), \"labels\": \(tokens)}"
        let maps =
            "{\"models\": {\"run\": {\"similarity\": [{\"id\": \(quoted), \"tokens\": \(tokens), "
            + "\"student\": \(matrix), \"teacher\": [[1]]}], \"alignments\": [{\"id\": \(quoted), \"student\": \(side), "
            + "\"teacher\": \(side), \"t2s\": \(matrix), \"s2t\": [], \"overlap\": {\"tokens\": 3, \"overlapping\": 1, "
            + "\"chance\": 0.5}}]}}}"
        try run.append(maps, to: "eval.maps.json")
        return run.url
    }

    private func page(_ directory: URL) -> String {
        ReportPage(
            runs: [ReportRun(directory)],
            evals: ReportEval.beside([directory]).found,
            cache: nil
        ).html()
    }

    @Test("is well-formed whatever texts it shows, and runs and loads nothing")
    func escaped() throws {
        try withFolder { folder in
            let page = page(try write(in: folder, Self.hostile))
            let count = try #require(XMLCount(page))
            #expect(count.elements["script"] == nil && count.elements["img"] == nil)
            #expect(count.references.allSatisfy { $0.hasPrefix("#") })
            #expect(
                !page.contains("url(") && !page.contains("@import") && !page.contains("style=\"")
            )
            #expect(count.elements["article"] == 1 && count.elements["section"] == 8)
            let unsafe = page.unicodeScalars.filter {
                ($0.value < 0x20 && $0 != "\n") || (0x202A...0x202E).contains($0.value)
            }
            #expect(unsafe.isEmpty)
            #expect(page.contains("&lt;script&gt;") && page.contains("\\u{202E}gpj"))
            #expect(page.contains("default-src 'none'"))
            #expect(page.contains("eval.examples.jsonl: 1 lines could not be read"))
        }
    }

    @Test("shows texts of a megabyte in part, and stays small")
    func long() throws {
        try withFolder { folder in
            let long = String(repeating: "long ", count: 200_000)
            let page = page(try write(in: folder, long))
            #expect(XMLCount(page) != nil)
            #expect(page.utf8.count < 2 << 20, "\(page.utf8.count)")
            #expect(page.contains("more bytes)"))
        }
    }

    @Test("of 100,000 steps is small, and no spike is lost")
    func thinned() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            var text = ""
            for step in 1...100_000 {
                text += RunFolder.line(step, of: 100_000, total: step == 77_777 ? 99 : 2)
            }
            try run.append(text)
            let page = page(run.url)
            #expect(page.utf8.count < 1 << 20, "\(page.utf8.count)")
            // The axis reaches up to the one high value.
            #expect(page.contains(">100<") || page.contains(">80<"))
        }
    }

    @Test("shows everything that a finished pipeline leaves")
    func finished() throws {
        let folder = try #require(
            Bundle.module.url(
                forResource: "quickstart",
                withExtension: nil,
                subdirectory: "Fixtures"
            )
        )
        let runs = try ReportRun.directories(at: folder.path)
        let report = ReportPage(
            runs: runs.map { ReportRun($0) },
            evals: ReportEval.beside(runs).found,
            cache: nil
        )
        // As they were measured, not by the alphabet.
        #expect(report.runs.map(\.name) == ["sft", "dskd"])
        let count = try #require(XMLCount(report.html()))
        #expect(count.elements["section"] == 9 && count.elements["article"] == 24)
        // Nine parts of the loss and four of training; three calibrations; teacher, two students, two alignments.
        #expect(count.elements["figure"] == 9 + 4 + 3 + 3 + 2)
        #expect(count.text.contains("150, finished") && count.text.contains("alignment by chance"))
        #expect(
            count.text.contains(
                "dskd against sft, in 95 of 100 samples of as many examples: better in "
                    + "cosine structure distance"
            )
        )
    }

    @Test("says what there is where nothing is measured")
    func empty() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            try run.append("{}", to: "config.resolved.json")
            let page = page(run.url)
            let count = try #require(XMLCount(page))
            #expect(count.text.contains("No step is measured"))
            #expect(count.text.contains("retort eval") && count.elements["svg"] == nil)
        }
    }

    @Test("shows scores with intervals, and marks what differs, for ears too")
    func scores() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "sft")
            try run.append(RunFolder.line(1, of: 1, total: 2))
            let other = try RunFolder(folder, "kd")
            try other.append(RunFolder.line(1, of: 1, total: 2))
            var base = EvalReport(name: "sft", split: "held_out")
            base.crossEntropy = 3
            base.intervals = ["cross_entropy": .init(mean: 3, low: 2.5, high: 3.5)]
            var better = base
            better.name = "kd"
            better.baseline = "sft"
            better.crossEntropy = 2
            better.differences = [
                "cross_entropy": EvalDifference(
                    difference: .init(mean: -1, low: -1.5, high: -0.5),
                    verdict: .better
                )
            ]
            better.calibration = Calibration([(0.9, true), (0.9, false)])
            let file = EvalFile(
                inputs: [:],
                reports: [EvalReport(name: "teacher", split: "held_out"), base, better]
            )
            try Data(json(file).utf8).write(to: folder.appendingPathComponent("eval.json"))
            let runs = try ReportRun.directories(at: folder.path)
            let page = ReportPage(
                runs: runs.map { ReportRun($0) },
                evals: ReportEval.beside(runs).found,
                cache: nil
            ).html()
            let count = try #require(XMLCount(page))
            #expect(page.contains("2.0000 +<span class=\"unseen\"> better</span>"))
            #expect(page.contains("<small>2.5000 – 3.5000</small>"))
            #expect(count.text.contains("better in loss a token; worse in nothing"))
            #expect(count.text.contains("ECE 40.0 %"))
            #expect(count.text.contains("kd is surer than it is right, by 40.0 of 100"))
        }
    }

    @Test("takes no harm from numbers and letters that no measurement has")
    func hostile() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            try run.append(RunFolder.line(1, of: 1, total: 2))
            var report = EvalReport(name: "run", split: "held_out")
            report.crossEntropy = .greatestFiniteMagnitude
            report.calibration = Calibration([(0.5, true)])
            report.calibration?.bins[0].count = .max
            report.calibration?.bins[1].count = .max
            // One letter, as Swift counts, of a megabyte.
            let letter = "e" + String(repeating: "\u{301}", count: 500_000)
            var other = report
            other.name = letter
            try run.append(
                json(EvalFile(inputs: [:], reports: [report, report, other])),
                to: "eval.json"
            )
            let tokens = [String](repeating: letter, count: 3)
            let map =
                "{\"id\": \"x\", \"tokens\": \(try json(tokens)), \"student\": [[1]], \"teacher\": []}"
            try run.append(
                "{\"models\": {\"run\": {\"similarity\": [\(map)], \"alignments\": []}}}",
                to: "eval.maps.json"
            )
            let page = page(run.url)
            #expect(XMLCount(page) != nil && page.utf8.count < 1 << 18, "\(page.utf8.count)")
            #expect(page.contains("1.8e+308") && !page.contains("ECE 1"))
        }
    }

    @Test("of many runs grows with their number, not with its square")
    func many() throws {
        try withFolder { folder in
            for run in 0..<60 {
                let steps = 1...30
                let lines = steps.map { RunFolder.line(31 * run + $0, of: 9_999, total: 2) }
                try RunFolder(folder, "run\(run)").append(lines.joined())
            }
            let runs = try ReportRun.directories(at: folder.path)
            let page = ReportPage(runs: runs.map { ReportRun($0) }, evals: [], cache: nil).html()
            #expect(page.utf8.count < 3 << 19, "\(page.utf8.count)")
        }
    }

    @Test("follows no link out of a run, and says what cannot be read")
    func links() throws {
        try withFolder { folder in
            let secret = try RunFolder(folder, "secret")
            try secret.append(RunFolder.line(1, of: 1, total: 777))
            let run = try RunFolder(folder, "pipeline/run")
            try FileManager.default.createSymbolicLink(
                at: run.url.appendingPathComponent("metrics.jsonl"),
                withDestinationURL: secret.url.appendingPathComponent("metrics.jsonl")
            )
            try run.append("{}", to: "config.resolved.json")
            try FileManager.default.createSymbolicLink(
                at: folder.appendingPathComponent("pipeline/link"),
                withDestinationURL: secret.url
            )
            let runs = try ReportRun.directories(at: folder.path + "/pipeline")
            #expect(runs.map(\.lastPathComponent) == ["run"])
            #expect(ReportRun(run.url).history.last == nil)
            try run.append("{", to: "eval.json")
            let beside = ReportEval.beside(runs)
            #expect(beside.found.isEmpty && beside.unreadable.count == 1)
            let page = ReportPage(
                runs: runs.map { ReportRun($0) },
                evals: [],
                unreadable: beside.unreadable,
                cache: nil
            ).html()
            #expect(page.contains("eval.json could not be read") && !page.contains("777"))
        }
    }

    @Test("markup keeps lines where they are shown, and cuts at characters")
    func markup() {
        #expect(Markup.escaped("a\nb<'\"") == "a\\nb&lt;&#39;&quot;")
        #expect(Markup.escaped("a\nb", keepsLines: true) == "a\nb")
        #expect(Markup.shortened("éééé", to: 2) == "éé … (4 more bytes)")
        #expect(Markup.escaped("\u{FFFE}\u{7F}x") == "\u{FFFD}\\u{7F}x")
    }
}

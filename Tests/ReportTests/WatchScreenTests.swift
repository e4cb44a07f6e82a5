import Foundation
import TestSupport
import Testing

@testable import Report

@Suite("The terminal's view of a run")
struct WatchScreenTests {
    @Test(
        "shows figures and curves no wider and no higher than the terminal",
        arguments: [20, 40, 80, 200]
    )
    func size(width: Int) throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            for step in 1...200 {
                try run.append(RunFolder.line(step, of: 400, total: 5 - Double(step) / 100))
            }
            let other = try RunFolder(folder, "other")
            try other.append(RunFolder.line(1, of: 1, total: 2))
            try other.finish(steps: 1)
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -1000)],
                ofItemAtPath: other.url.appendingPathComponent("metrics.jsonl").path
            )
            let runs = [ReportRun(other.url), ReportRun(run.url)]
            let lines = WatchScreen(width: width, height: 50).lines(runs)
            #expect(lines.allSatisfy { TerminalText.columns(of: $0) <= width })
            guard width >= 40 else { return }
            #expect(lines[0] == "run" && lines[1].contains("step 200 of 400"))
            #expect(lines.contains { $0.hasPrefix("total") && $0.contains("3.0000") })
            #expect(lines.contains { $0.hasPrefix("other") && $0.hasSuffix("finished") })
            if width >= 80 {
                #expect(lines[1].contains("50 %") && lines[1].contains("0:06:40 gone"))
            }
            #expect(WatchScreen(width: width, height: 8).lines(runs).count == 7)
            let silent = WatchScreen(width: 200, height: 50)
                .lines(runs, now: Date(timeIntervalSinceNow: 3600))
            #expect(silent[2].hasPrefix("SILENT for 1:00"))
        }
    }

    @Test("keeps what is wrong and the other runs where there is little room")
    func small() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "漢字漢字漢字")
            let parts = (0..<20).map { "\"part\($0)\": 1" }.joined(separator: ", ")
            let line = RunFolder.line(1, of: 9, total: 2, more: ", \"skipped\": \"loss_spike\"")
            try run.append(line.replacing("\"ce\"", with: "\(parts), \"ce\"") + "nothing\n")
            let other = try RunFolder(folder, "other")
            try other.append(RunFolder.line(1, of: 1, total: 2))
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -1000)],
                ofItemAtPath: other.url.appendingPathComponent("metrics.jsonl").path
            )
            let lines = WatchScreen(width: 80, height: 24)
                .lines([ReportRun(other.url), ReportRun(run.url)].reversed())
            #expect(lines.count <= 23)
            for word in ["1 steps skipped", "1 lines of", "of peak", "total", "learning rate"] {
                #expect(lines.contains { $0.contains(word) }, "\(word)")
            }
            #expect(
                lines.contains { $0.hasPrefix("other") } && lines.contains { $0.hasPrefix("漢字") }
            )
            #expect(TerminalText.fitted("漢字漢字", to: 5) == "漢字…")
            #expect(TerminalText.columns(of: TerminalText.padded("漢e\u{301}", to: 6)) == 6)
            let accents = "e" + String(repeating: "\u{301}", count: 100_000)
            #expect(TerminalText.fitted(accents, to: 80).unicodeScalars.count <= 240)
        }
    }

    @Test("sparklines go from the lowest to the highest")
    func sparkline() {
        let points = (0..<80).map { CurvePoint(Double($0), Double($0)) }
        #expect(Sparkline.text(points, width: 8) == "▁▂▃▄▅▆▇█")
        #expect(Sparkline.text([CurvePoint(1, 5), CurvePoint(2, 5)], width: 8) == "▁▁")
        #expect(Sparkline.text([CurvePoint(1, 5)], width: 8).isEmpty)
        #expect(Sparkline.text([], width: 8).isEmpty)
    }

    @Test("names and reasons of strangers move no cursor")
    func hostile() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run\u{1B}[2J")
            let line = RunFolder.line(
                1,
                of: 1,
                total: 2,
                more: ", \"skipped\": \"\\u001b]0;x\\u0007\""
            )
            try run.append(
                line.replacing("\"ce\"", with: "\"\\u001b[31mred\\u202e\": 1, \"ce\"")
            )
            let text = WatchScreen(width: 120, height: 50).lines([ReportRun(run.url)]).joined()
            let unsafe = text.unicodeScalars.filter { $0.value < 0x20 || $0.value == 0x202E }
            #expect(unsafe.isEmpty && text.contains("\\u{1B}[2J") && text.contains("[31mred"))
        }
    }
}

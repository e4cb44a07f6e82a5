import Distill
import Foundation
import TestSupport
import Testing

@testable import Report

@Suite("A run's history")
struct HistoryTests {
    @Test("is read as it comes, and anew where the file is another")
    func tail() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            let tail = MetricsTail(run.url.appendingPathComponent("metrics.jsonl"))
            var history = RunHistory()
            history.add(from: tail)
            #expect(history.last == nil)
            let line = RunFolder.line(2, of: 9, total: 3)
            try run.append(RunFolder.line(1, of: 9, total: 4) + line.prefix(30))
            history.add(from: tail)
            #expect(history.last?.step == 1 && history.unreadable == 0)
            try run.append(String(line.dropFirst(30)))
            history.add(from: tail)
            #expect(history.last?.step == 2 && history.losses["total"]?.map(\.y) == [4, 3])
            #expect(history.seconds == 4 && history.timedTokens == 200 && history.memoryMiB == 512)
            #expect(history.secondsPerStep == 2)
            // A resumed run puts another file in the place of this one.
            try Data(RunFolder.line(1, of: 9, total: 5).utf8).write(
                to: run.url.appendingPathComponent("metrics.jsonl"),
                options: .atomic
            )
            history.add(from: tail)
            #expect(history.losses["total"]?.map(\.y) == [5] && history.seconds == 2)
            history.add(from: tail)
            #expect(history.losses["total"]?.count == 1)
            // Written anew in its place, and longer than before.
            let handle = try FileHandle(
                forWritingTo: run.url.appendingPathComponent("metrics.jsonl")
            )
            try handle.truncate(atOffset: 0)
            let longer = (1...4).map { RunFolder.line($0, of: 9, total: 7) }.joined()
            try handle.write(contentsOf: Data(longer.utf8))
            history.add(from: tail)
            #expect(history.losses["total"]?.map(\.y) == [7, 7, 7, 7] && history.unreadable == 0)
        }
    }

    @Test("leaves out lines that are none, however long, and numbers that nothing can show")
    func damage() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            let long = String(repeating: "x", count: MetricsTail.longestLine + 10)
            try run.append(
                "{}\nno json\n\n\(long)\n" + RunFolder.line(1, of: 9, total: 4)
                    + RunFolder.line(0, of: 9, total: 4) + RunFolder.line(-3, of: 9, total: 4)
                    + RunFolder.line(2, of: 9, total: 1e300) + "[1, 2]\n\u{0}\u{0}\n"
            )
            let history = RunHistory(run.url)
            #expect(history.unreadable == 7, "\(history.unreadable)")
            #expect(history.losses["total"]?.map(\.x) == [1] && history.last?.step == 2)
            let parts = (0..<100).map { ", \"p\($0)\": 1" }.joined()
            try run.append(
                RunFolder.line(3, of: 9, total: 1).replacing(
                    "\"ce\"",
                    with: "\"x\": 1\(parts), \"ce\""
                )
            )
            #expect(RunHistory(run.url).losses.count == 24)
        }
    }

    @Test("is not waited for where a pipe lies in the file's place")
    func pipe() throws {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            for name in ["metrics.jsonl", "config.resolved.json", "done.json", "eval.json"] {
                mkfifo(run.url.appendingPathComponent(name).path, 0o600)
            }
            let read = ReportRun(run.url)
            #expect(read.history.last == nil && read.settings == nil && read.done == nil)
            #expect(ReportEval.beside([run.url]).found.isEmpty)
        }
    }

    @Test(
        "of a pipeline's directory is that of the runs in it; names that repeat get more of the path"
    )
    func directories() throws {
        try withFolder { folder in
            for path in ["a/sft", "a/kd", "b/sft"] {
                try RunFolder(folder, path).append(RunFolder.line(1, of: 1, total: 1))
            }
            _ = try RunFolder(folder, "a/cache")
            let found = try ReportRun.directories(at: folder.path + "/a")
            #expect(found.map(\.lastPathComponent) == ["kd", "sft"])
            let all = found + (try ReportRun.directories(at: folder.path + "/b/sft"))
            let names = ReportRun.named(all.map { ReportRun($0) }).map(\.name)
            #expect(names == ["kd", "a/sft", "b/sft"])
            #expect(throws: ReportError.noRun(folder.path + "/a/cache")) {
                try ReportRun.directories(at: folder.path + "/a/cache")
            }
        }
    }
}

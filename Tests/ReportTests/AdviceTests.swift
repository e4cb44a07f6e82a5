import Distill
import Foundation
import TestSupport
import Testing

@testable import Report

@Suite("What stands out")
struct AdviceTests {
    private func notes(_ lines: [String], isDone: Bool = true) throws -> [String] {
        try withFolder { folder in
            let run = try RunFolder(folder, "run")
            try run.append(lines.joined())
            if isDone { try run.finish(steps: lines.count) }
            return RunAdvice(ReportRun(run.url)).notes.map(\.text)
        }
    }

    private func heldOut(_ total: Double) -> String { ", \"held_out\": {\"total\": \(total)}" }

    @Test("nothing does in a run that has come to rest")
    func calm() throws {
        let lines = (1...50).map { RunFolder.line($0, of: 50, total: 2) }
        #expect(try notes(lines).isEmpty)
        #expect(try notes(lines, isDone: false).first?.contains("step 50 of 50") == true)
    }

    @Test("a loss that still falls asks for more steps, one that rises again for fewer")
    func curves() throws {
        let falling = (1...50).map { RunFolder.line($0, of: 50, total: 5 - Double($0) / 20) }
        let fell = try notes(falling)
        #expect(fell.count == 1 && fell[0].contains("more steps may help"))
        let turned = (1...6).map { step in
            RunFolder.line(
                step,
                of: 6,
                total: 1,
                more: heldOut([3, 2.5, 2, 2.2, 2.4, 2.6][step - 1])
            )
        }
        let rose = try notes(turned)
        #expect(rose.count == 1 && rose[0].contains("lowest at step 3 (2.0000)"))
        #expect(rose[0].contains("Fewer steps"))
    }

    @Test("noise is no fall, and a loss that has grown is told")
    func grown() throws {
        let noise = (1...60).map {
            RunFolder.line($0, of: 60, total: 3 + 0.4 * sin(Double($0 * $0)))
        }
        #expect(try notes(noise).isEmpty)
        let grown = (1...60).map { RunFolder.line($0, of: 60, total: 5 + Double($0) / 4) }
        let found = try notes(grown)
        #expect(found.count == 1 && found[0].contains("the loss has grown, from 5."))
        #expect(try notes([]).first?.contains("there is no step in metrics.jsonl") == true)
    }

    @Test("skipped steps, waiting, cut examples and lines that cannot be read are told")
    func trouble() throws {
        var lines = (1...20).map { step in
            RunFolder.line(step, of: 20, total: 2)
                .replacing("\"data_seconds\": 0.01", with: "\"data_seconds\": 0.5")
                .replacing("\"cut\": 0", with: "\"cut\": 2")
        }
        lines[4] = lines[4].replacing("}\n", with: ", \"skipped\": \"not_finite\"}\n")
        lines.append("nothing\n")
        let found = try notes(lines)
        #expect(found.count == 4, "\(found)")
        #expect(found[0].contains("1 of 20 steps") && found[0].contains("not_finite"))
        #expect(found[1].contains("25.0 % of the time"))
        #expect(found[2].contains("25 % of the examples"))
        #expect(found[3].contains("1 lines"))
    }
}

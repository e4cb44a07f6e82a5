import Foundation
import Scores
import Testing

@testable import Distill

@Suite("Figures of an evaluation")
struct EvalFiguresTests {
    @Test("calibration is the gap between confidence and accuracy, weighed by bins")
    func calibration() {
        // Ten tokens of 0.95 of which eight are right, ten of 0.35 of which five are.
        let tokens =
            (0..<10).map { (confidence: Float(0.95), isRight: $0 < 8) }
            + (0..<10).map { (confidence: Float(0.35), isRight: $0 < 5) }
        let found = Calibration(tokens)
        #expect(abs(found.error - (0.5 * 0.15 + 0.5 * 0.15)) < 1e-6)
        #expect(found.bins.count == 15 && found.bins[14].count == 10 && found.bins[5].count == 10)
        #expect(abs(found.bins[14].accuracy - 0.8) < 1e-12)
        #expect(Calibration([]).error == 0)
        // The ends have a bin too, and so has what is no number.
        let ends = Calibration([(0, false), (1, true), (.nan, false)])
        #expect(ends.bins[0].count == 2 && ends.bins[14].count == 1)
    }

    @Test("a model is better or worse only where the interval of the differences says so")
    func verdicts() throws {
        var base = EvalShares()
        var better = EvalShares()
        var noisy = EvalShares()
        for index in 0..<60 {
            let (id, loss) = ("\(index)", Double(20 + index % 9))
            base.add(.crossEntropy, id, sum: loss, weight: 10)
            base.add(.rougeL, id, sum: 0.5, weight: 1)
            // Other examples of the baseline are left out of the comparison.
            if index % 2 == 0 {
                better.add(.crossEntropy, id, sum: loss - 1, weight: 10)
                better.add(.rougeL, id, sum: 0.4, weight: 1)
            }
            let noise = Double((index * 7919) % 13) - 6
            noisy.add(.crossEntropy, id, sum: loss + noise, weight: 10)
        }
        let found = better.differences(from: base)
        let loss = try #require(found["cross_entropy"])
        #expect(loss.verdict == .better && abs(loss.difference.mean + 0.1) < 1e-9)
        #expect(found["rougeL"]?.verdict == .worse)
        #expect(noisy.differences(from: base)["cross_entropy"]?.verdict == .undecided)
        #expect(noisy.differences(from: base)["rougeL"] == nil)

        var report = EvalReport(name: String(repeating: "long/", count: 20), split: "held_out")
        (report.baseline, report.differences) = ("sft", found)
        report.rougeL = 0.4
        let table = EvalTable([report]).text
        #expect(table.contains("40.00-") && table.contains("0.0000+") && table.contains("than sft"))
        #expect(table.split(separator: "\n").allSatisfy { $0.count < 140 }, "\(table)")
        #expect(!table.contains("KL byte"))
    }

    @Test("what is infinite has no interval, and is JSON all the same")
    func infinite() throws {
        var shares = EvalShares()
        shares.add(.crossEntropy, "a", sum: .infinity, weight: 1)
        shares.add(.crossEntropy, "b", sum: 1, weight: 1)
        #expect(shares.intervals().isEmpty && shares.differences(from: shares).isEmpty)
        #expect(shares.mean(.crossEntropy) == .greatestFiniteMagnitude)
        #expect(shares.mean(.kl) == nil)
    }
}

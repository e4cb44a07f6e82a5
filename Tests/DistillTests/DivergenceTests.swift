import Foundation
import Tensors
import Testing

@testable import Distill

@Suite("Divergences")
struct DivergenceTests {
    static let table: [(Float, [Double])] = [
        (2, [0.0548886, 0.0575619, 0.0139439, 0.0446556, 0.0459281, 0.0567088]),
        (1, [0.1250232, 0.1546532, 0.0337293, 0.1037745, 0.1170393, 0.1422208]),
    ]

    @Test("METHOD.md's table of golden numbers", arguments: table)
    func goldens(temperature: Float, row: [Double]) {
        for (divergence, want) in zip(Divergence.allCases, row) {
            let got = divergence.evaluate(
                target: [0.5, 2.5, -0.5, 0],
                student: [1, 2, 0.5, -1],
                temperature: temperature
            )
            #expect(abs(got.value - want) < 2e-7, "\(divergence.rawValue)")
        }
    }

    @Test("equal rows have no divergence and no gradient", arguments: Divergence.allCases)
    func equal(divergence: Divergence) {
        let row = logits(1_000, seed: 3, spread: 4)
        let got = divergence.evaluate(target: row, student: row, temperature: 2)
        #expect(abs(got.value) < 1e-6)
        #expect(got.gradient.allSatisfy { abs($0) < 1e-6 })
    }

    @Test("rows that share nothing stay below the bounds, and stay finite")
    func bounds() {
        let a: [Float] = [400, -400, 0]
        let b: [Float] = [-400, 400, 0]
        for divergence in Divergence.allCases {
            let got = divergence.evaluate(target: a, student: b, temperature: 1)
            #expect(got.value.isFinite && got.gradient.allSatisfy { $0.isFinite })
        }
        #expect(Divergence.js.evaluate(target: a, student: b, temperature: 1).value < log(2) + 1e-6)
        let skewed = Divergence.skewedForwardKL.evaluate(target: a, student: b, temperature: 1)
        #expect(skewed.value <= -log(0.1) + 1e-6)
    }

    @Test("a row of 50,257 logits is within 1e-6 of float64", arguments: Divergence.allCases)
    func precision(divergence: Divergence) {
        let target = logits(50_257, seed: 1, spread: 3)
        let noise = logits(50_257, seed: 2, spread: 1)
        let student = zip(target, noise).map { $0 * 0.8 + $1 }
        for temperature: Float in [1, 2] {
            let got = divergence.evaluate(
                target: target,
                student: student,
                temperature: temperature
            )
            let want = reference(
                divergence,
                target: target,
                student: student,
                temperature: Double(temperature)
            )
            #expect(
                abs(got.value / want.value - 1) < 1e-6,
                "\(got.value), not \(want.value)"
            )
            let size = want.gradient.map(abs).max() ?? 0
            for (g, w) in zip(got.gradient, want.gradient) where abs(Double(g) - w) > 2e-6 * size {
                Issue.record("gradient \(g), not \(w)")
                break
            }
        }
    }

    private func logits(_ count: Int, seed: UInt64, spread: Float) -> [Float] {
        var random = RandomNumbers(seed: seed, purpose: "logits")
        return (0..<count).map { _ in random.normal() * spread }
    }

    /// METHOD.md's formulas, one by one, in float64.
    private func reference(
        _ divergence: Divergence,
        target: [Float],
        student: [Float],
        temperature: Double
    ) -> (value: Double, gradient: [Double]) {
        func softmax(_ row: [Float]) -> [Double] {
            let top = Double(row.max() ?? 0)
            let e = row.map { exp((Double($0) - top) / temperature) }
            let sum = e.reduce(0, +)
            return e.map { $0 / sum }
        }
        let (p, q) = (softmax(target), softmax(student))
        func forward() -> (Double, [Double]) {
            (zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }, zip(p, q).map { -$0 / $1 })
        }
        func reverse() -> (Double, [Double]) {
            (zip(p, q).reduce(0) { $0 + $1.1 * log($1.1 / $1.0) }, zip(p, q).map { log($1 / $0) })
        }
        var value = 0.0
        var slope: [Double] = []
        switch divergence {
        case .forwardKL: (value, slope) = forward()
        case .reverseKL: (value, slope) = reverse()
        case .js:
            for (p, q) in zip(p, q) {
                let m = (p + q) / 2
                value += 0.5 * (p * log(p / m) + q * log(q / m))
                slope.append(0.5 * log(q / m))
            }
        case .skewedForwardKL:
            for (p, q) in zip(p, q) {
                let m = 0.1 * p + 0.9 * q
                value += p * log(p / m)
                slope.append(-0.9 * p / m)
            }
        case .skewedReverseKL:
            for (p, q) in zip(p, q) {
                let m = 0.9 * p + 0.1 * q
                value += q * log(q / m)
                slope.append(log(q / m) - 0.1 * q / m)
            }
        case .adaptiveKL:
            var reached = 0.0
            var gaps = (head: 0.0, tail: 0.0)
            for i in p.indices.sorted(by: { (p[$0], $0) < (p[$1], $1) }) {
                reached += p[i]
                if reached <= 0.5 {
                    gaps.tail += abs(p[i] - q[i])
                } else {
                    gaps.head += abs(p[i] - q[i])
                }
            }
            let share = gaps.head / (gaps.head + gaps.tail)
            let (f, r) = (forward(), reverse())
            value = share * f.0 + (1 - share) * r.0
            slope = zip(f.1, r.1).map { share * $0 + (1 - share) * $1 }
        }
        let mean = zip(q, slope).reduce(0) { $0 + $1.0 * $1.1 }
        return (value, zip(q, slope).map { $0 * ($1 - mean) / temperature })
    }
}

import Foundation
import Tensors

@testable import Distill

/// The figures of `CacheFidelity` by definition, in doubles, with whole distributions in memory.
struct FidelityReference64 {
    /// (rows, V).
    let logits: [[Double]]
    let batchRows: Int
    let softness = 2.0

    /// The target of a row at a temperature: what the gradient is pulled to.
    typealias Target = (_ row: Int, _ p: [Double], _ s: [Double]) -> [Double]

    static func softmax(_ x: [Double], _ temperature: Double) -> [Double] {
        let top = x.max() ?? 0
        let e = x.map { exp(($0 - top) / temperature) }
        let sum = e.reduce(0, +)
        return e.map { $0 / sum }
    }

    static func kl(_ p: [Double], _ q: [Double]) -> Double {
        zip(p, q).reduce(0) { $0 + ($1.0 > 0 ? $1.0 * log($1.0 / $1.1) : 0) }
    }

    /// log p at temperature 1.
    func logProbabilities(_ row: Int) -> [Double] {
        Self.softmax(logits[row], 1).map { log($0) }
    }

    /// The most likely tokens of a row.
    func top(_ row: Int, _ k: Int) -> [Int] {
        Array(logits[row].indices.sorted { logits[row][$0] > logits[row][$1] }.prefix(k))
    }

    /// Mean over rows.
    func mean(_ temperature: Double, _ figure: (Int, [Double], [Double]) -> Double) -> Double {
        logits.indices.reduce(0.0) { sum, row in
            let p = Self.softmax(logits[row], temperature)
            let s = Self.softmax(logits[row], temperature * softness)
            return sum + figure(row, p, s)
        } / Double(logits.count)
    }

    /// Token, batch and all.
    func gradients(_ temperature: Double, _ target: Target) -> [Double] {
        func norm(_ x: [Double]) -> Double { x.reduce(0) { $0 + $1 * $1 }.squareRoot() }
        var token = 0.0
        let vocabulary = logits[0].count
        let zero = [Double](repeating: 0, count: vocabulary)
        var sums: [(exact: [Double], difference: [Double])] = []
        for row in logits.indices {
            if row % batchRows == 0 { sums.append((zero, zero)) }
            let p = Self.softmax(logits[row], temperature)
            let s = Self.softmax(logits[row], temperature * softness)
            let q = target(row, p, s)
            let exact = zip(s, p).map { $0 - $1 }
            let difference = zip(q, p).map { $0 - $1 }
            token += norm(difference) / norm(exact)
            for id in 0..<vocabulary {
                sums[row / batchRows].exact[id] += exact[id]
                sums[row / batchRows].difference[id] += difference[id]
            }
        }
        let whole = sums.prefix(logits.count / batchRows)
        let batch = whole.map { norm($0.difference) / norm($0.exact) }.reduce(0, +)
        let total = sums.reduce((zero, zero)) { total, sum in
            (
                zip(total.0, sum.exact).map { $0 + $1 },
                zip(total.1, sum.difference).map { $0 + $1 }
            )
        }
        return [
            token / Double(logits.count), batch / Double(whole.count),
            norm(total.1) / norm(total.0),
        ]
    }
}

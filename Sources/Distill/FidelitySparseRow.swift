import CKernels
import Cache
import Foundation

/// What one row says of all sparse options at one temperature.
struct SparseRow: Sendable {
    /// |s - p|^2.
    var gap = 0.0
    /// One for each option; nil where it has nothing to say at this temperature.
    var terms: [SparseTerm?] = []
}

/// What one row says of one sparse option.
struct SparseTerm: Sendable {
    var figures: FidelityRow
    /// s - T g of the kept tokens, g being the gradient with the option's target; a ghost's less s.
    var targets: [Double]
    /// A ghost's s - T g of any other token, less s, is this times the student's probability at
    /// temperature 1.
    var coefficient: Float = 0
}

/// The mathematics of sparse options at one temperature.
struct SparseWork: @unchecked Sendable {
    // Unchecked: options are classes, of which only the constant `option` is read here.

    private let kept: KeptTokens
    private let temperature: Double

    init(_ kept: KeptTokens, temperature: Float) {
        self.kept = kept
        self.temperature = Double(temperature)
    }

    /// All options of one row.
    ///
    /// - Parameters:
    ///   - z: (V) exact logits; `partition` is that of z / temperature.
    ///   - p: (V) exact probabilities.
    ///   - s: (V) the student's.
    ///   - r: (V) the student's at temperature 1. The three are changed and put back.
    func row(
        _ row: Int,
        z: UnsafePointer<Float>,
        partition: Double,
        p: UnsafeMutablePointer<Float>,
        s: UnsafeMutablePointer<Float>,
        r: UnsafeMutablePointer<Float>,
        columns: Int
    ) -> SparseRow {
        let scale = Float(1 / temperature)
        func sums() -> ck_tail_sums {
            var sums = ck_tail_sums()
            ck_tail_row(z, partition, scale, p, s, r, columns, &sums)
            return sums
        }
        var result = SparseRow(gap: sums().gap)
        var tails: [Int: ck_tail_sums] = [:]
        for (place, entry) in kept.options.enumerated() {
            let ids = kept.ids(place, row: row)
            if entry.samples != nil && temperature != 1 {
                result.terms.append(nil)
                continue
            }
            let known = ids.map { KnownToken(p: p[Int($0)], s: s[Int($0)], r: r[Int($0)]) }
            var tail = ck_tail_sums()
            if entry.samples == nil, let made = tails[ids.count] {
                tail = made
            } else {
                // Summed without the kept tokens: what is left of a difference would be rounding.
                for id in ids { (p[Int(id)], s[Int(id)], r[Int(id)]) = (0, 0, 0) }
                tail = sums()
                for (id, token) in zip(ids, known) {
                    (p[Int(id)], s[Int(id)], r[Int(id)]) = (token.p, token.s, token.r)
                }
                if entry.samples == nil { tails[ids.count] = tail }
            }
            switch entry.state.option {
            case .sampled(let draws):
                let counts = entry.samples?.counts[ids.startIndex..<ids.endIndex] ?? []
                let shares = counts.map { Double($0) / Double(draws) }
                result.terms.append(Self.cut(known.map(\.exact), shares, tail, coarse: false))
            case .topKRenormalised:
                let logs = logs(row, ids.count)
                let sum = logs.reduce(0) { $0 + exp($1 / temperature) }
                let shares = logs.map { exp($0 / temperature) / sum }
                result.terms.append(Self.cut(known.map(\.exact), shares, tail, coarse: true))
            default:
                result.terms.append(ghost(row, known, tail, columns))
            }
        }
        return result
    }

    private func logs(_ row: Int, _ count: Int) -> [Double] {
        let start = row * kept.mostTokens
        return kept.topLogs[start..<(start + count)].map { Double($0) }
    }

    /// A target that is zero elsewhere.
    private static func cut(
        _ p: [Double],
        _ q: [Double],
        _ tail: ck_tail_sums,
        coarse: Bool
    ) -> SparseTerm {
        let mass = p.reduce(0, +)
        var row = FidelityRow(keptMass: mass, totalVariation: tail.p / 2, squares: tail.pp)
        var (coarseKL, reverse) = (0.0, 0.0)
        for (p, q) in zip(p, q) {
            row.totalVariation += abs(p - q) / 2
            row.squares += (p - q) * (p - q)
            if p > 0, q > 0 {
                coarseKL += p / mass * log(p / mass / q)
                reverse += q * log(q / p)
            }
        }
        row.klReverse = reverse
        if coarse { row.klCoarse = coarseKL }
        return SparseTerm(figures: row, targets: q)
    }

    /// One more outcome that has the rest of the mass at temperature 1, on both sides, which are
    /// tempered thereafter: `ck_sparse_row` is the criterion.
    private func ghost(
        _ row: Int,
        _ known: [KnownToken],
        _ tail: ck_tail_sums,
        _ vocabulary: Int
    ) -> SparseTerm {
        let stored = logs(row, known.count)
        let rest = SparseRows.tail(of: stored)
        let q = tempered(stored, rest: rest)
        let others = kept.exactLogs[row][known.count...]
        let exact = tempered(
            Array(kept.exactLogs[row][..<known.count]),
            rest: Self.logSum(Array(others))
        )
        let student = tempered(known.map { log(Double($0.r)) }, rest: log(tail.r))
        var figures = FidelityRow(keptMass: known.reduce(0) { $0 + $1.exact })
        figures.klCoarse = zip(exact, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }

        // As a distribution over the vocabulary, the mass lies evenly before it is tempered.
        let unkept = Double(vocabulary - known.count)
        let even = tempered(stored, rest: rest, tokens: unkept)
        var kl = tail.p_log_p - tail.p * (even[known.count] - log(unkept))
        figures.totalVariation = abs(tail.p - exp(even[known.count])) / 2
        for (token, q) in zip(known, even) {
            if token.p > 0 { kl += token.exact * (log(token.exact) - q) }
            figures.totalVariation += abs(token.exact - exp(q)) / 2
        }
        figures.kl = kl

        let pulls = zip(q, student).map { exp($0) - exp($1) }
        // The student has the ghost's share of the gradient in proportion to r; below the normal
        // numbers of float it has no tail to speak of.
        let normal = Double(Float.leastNormalMagnitude)
        let coefficient = tail.r >= normal ? pulls[known.count] / tail.r : 0
        figures.squares = max(
            0,
            tail.gap + 2 * coefficient * tail.gap_r + coefficient * coefficient * tail.rr
        )
        for (token, pull) in zip(known, pulls) {
            let difference = Double(token.s) - token.exact + pull
            figures.squares += difference * difference
        }
        return SparseTerm(
            figures: figures,
            targets: Array(pulls[..<known.count]),
            coefficient: Float(coefficient)
        )
    }

    /// log softmax at the temperature of log-probabilities at temperature 1 and of `rest`, the
    /// logarithm of the mass of all others, which `tokens` outcomes have in equal parts: k + 1
    /// logarithms, the last of the others' sum.
    private func tempered(_ logs: [Double], rest: Double, tokens: Double = 1) -> [Double] {
        let weights =
            logs.map { $0 / temperature } + [(rest - log(tokens)) / temperature + log(tokens)]
        let whole = Self.logSum(weights)
        return weights.map { $0 - whole }
    }

    private static func logSum(_ x: [Double]) -> Double {
        let top = x.max() ?? 0
        return top + log(x.reduce(0) { $0 + exp($1 - top) })
    }
}

/// What a row has of a kept token.
private struct KnownToken {
    /// Exact, the student's, and the student's at temperature 1.
    let p: Float, s: Float, r: Float

    var exact: Double { Double(p) }
}

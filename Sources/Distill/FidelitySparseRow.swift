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
    /// q of the kept tokens.
    var targets: [Double]
    /// q of any other token is this times the student's probability: a ghost's mass lies where the
    /// student has it, for that is what the gradient of the two-sided ghost comes to.
    var coefficient: Float = 0
}

/// The mathematics of sparse options at one temperature.
struct SparseWork: @unchecked Sendable {
    // Unchecked: options are classes, of which only the constant `option` is read here.

    private let kept: KeptTokens
    private let temperature: Double

    /// A tail that rounding leaves without mass still has this much, so that logarithms are finite.
    static let smallestTail = 1e-7

    init(_ kept: KeptTokens, temperature: Float) {
        self.kept = kept
        self.temperature = Double(temperature)
    }

    /// All options of one row.
    ///
    /// - Parameters:
    ///   - z: (V) exact logits; `partition` is that of z / temperature.
    ///   - p: (V) exact probabilities.
    ///   - s: (V) the student's. Both are changed and put back.
    func row(
        _ row: Int,
        z: UnsafePointer<Float>,
        partition: Double,
        p: UnsafeMutablePointer<Float>,
        s: UnsafeMutablePointer<Float>,
        columns: Int
    ) -> SparseRow {
        let scale = Float(1 / temperature)
        func sums() -> ck_pair_sums {
            var sums = ck_pair_sums()
            ck_pair_row(z, partition, scale, p, s, columns, &sums)
            return sums
        }
        var result = SparseRow(gap: sums().gap)
        var tails: [Int: ck_pair_sums] = [:]
        for (place, entry) in kept.options.enumerated() {
            let ids = kept.ids(place, row: row)
            if entry.samples != nil && temperature != 1 {
                result.terms.append(nil)
                continue
            }
            let known = ids.map { Double(p[Int($0)]) }
            var tail = ck_pair_sums()
            if entry.samples == nil, let made = tails[ids.count] {
                tail = made
            } else {
                // Summed without the kept tokens: what is left of a difference would be rounding.
                let mine = ids.map { (p[Int($0)], s[Int($0)]) }
                for id in ids { (p[Int(id)], s[Int(id)]) = (0, 0) }
                tail = sums()
                for (id, values) in zip(ids, mine) { (p[Int(id)], s[Int(id)]) = values }
                if entry.samples == nil { tails[ids.count] = tail }
            }
            switch entry.state.option {
            case .sampled(let draws):
                let counts = entry.samples?.counts[ids.startIndex..<ids.endIndex] ?? []
                let shares = counts.map { Double($0) / Double(draws) }
                result.terms.append(Self.cut(known, shares, tail, coarse: false))
            case .topKRenormalised:
                let logs = logs(row, ids.count)
                let sum = logs.reduce(0) { $0 + exp($1 / temperature) }
                let shares = logs.map { exp($0 / temperature) / sum }
                result.terms.append(Self.cut(known, shares, tail, coarse: true))
            default:
                result.terms.append(ghost(known, logs(row, ids.count), tail, columns))
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
        _ tail: ck_pair_sums,
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

    /// One more token that has the rest of the mass at temperature 1, and that mass's logarithm as its
    /// logit at any other.
    private func ghost(
        _ p: [Double],
        _ logs: [Double],
        _ tail: ck_pair_sums,
        _ vocabulary: Int
    ) -> SparseTerm {
        let rest = max(Self.smallestTail, 1 - logs.reduce(0) { $0 + exp($1) })
        let weights = logs.map { exp($0 / temperature) }
        let ghostWeight = exp(log(rest) / temperature)
        let sum = weights.reduce(0, +) + ghostWeight
        let q = weights.map { $0 / sum }
        let ghost = ghostWeight / sum
        var row = FidelityRow(keptMass: p.reduce(0, +))
        var kept = 0.0
        for (p, q) in zip(p, q) {
            if p > 0 { kept += p * log(p / q) }
            row.totalVariation += abs(p - q) / 2
            row.squares += (p - q) * (p - q)
        }
        row.totalVariation += abs(tail.p - ghost) / 2
        row.klCoarse = kept + (tail.p > 0 ? tail.p * log(tail.p / ghost) : 0)
        let each = ghost / Double(vocabulary - logs.count)
        row.kl = kept + tail.p_log_p - tail.p * log(each)
        let coefficient = tail.s > 0 ? ghost / tail.s : 0
        row.squares += max(
            0,
            tail.pp - 2 * coefficient * tail.ps + coefficient * coefficient * tail.ss
        )
        return SparseTerm(figures: row, targets: q, coefficient: Float(coefficient))
    }
}

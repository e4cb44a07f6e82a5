import CKernels
import Cache
import Tensors

/// Options that keep a few tokens of each row: top-k, draws.
extension CacheFidelity {
    /// Measures the sparse options on a chunk, and the exact gradient.
    func measureSparse(_ chunk: FidelityChunk, _ keys: [FidelityRows.Key]) throws {
        let kept = try keep(chunk, keys)
        // No dense option has been read yet: the student at temperature 1 is there meanwhile.
        let (exact, r, softness) = (chunk.exact, chunk.option, settings.softness)
        parallelRanges(chunk.count) { range, _ in
            for row in range {
                _ = ck_softmax_of(exact.row(row), r.row(row), r.columns, 1 / softness)
            }
        }
        for (t, temperature) in settings.temperatures.enumerated() {
            let (z, p, s) = (chunk.exact, chunk.probabilities[t], chunk.scratch)
            let (columns, partitions) = (z.columns, chunk.partitions[t])
            let softer = 1 / (temperature * settings.softness)
            let work = SparseWork(kept, temperature: temperature)
            let rows = eachRow(chunk.count) { row -> SparseRow in
                _ = ck_softmax_of(z.row(row), s.row(row), columns, softer)
                return work.row(
                    row,
                    z: z.row(row),
                    partition: partitions[row],
                    p: p.row(row),
                    s: s.row(row),
                    r: r.row(row),
                    columns: columns
                )
            }
            chunk.gaps.values[t] = rows.map(\.gap)
            var exact = [Double](repeating: 0, count: columns)
            var student = exact
            addColumnSums(p, to: &exact)
            addColumnSums(s, to: &student)
            for index in exact.indices {
                exactSums[t].batch[index] += student[index] - exact[index]
            }
            let tails = tailSums(rows, kept, r)
            for (place, entry) in kept.options.enumerated() {
                guard rows.allSatisfy({ $0.terms[place] != nil }) else { continue }
                let state = entry.state
                for row in rows {
                    if let term = row.terms[place] {
                        state.tallies[t].add(term.figures, exact: row.gap)
                    }
                }
                let sum = state.sums[t]
                for index in exact.indices { sum.batch[index] -= exact[index] }
                if let tail = tails[place] {
                    for index in exact.indices {
                        sum.batch[index] += student[index] + Double(tail[0, index])
                    }
                }
                for (row, values) in rows.enumerated() {
                    guard let term = values.terms[place] else { continue }
                    let ids = kept.ids(place, row: row)
                    for (id, target) in zip(ids, term.targets) {
                        let spread = Double(term.coefficient) * Double(r.row(row)[Int(id)])
                        sum.batch[Int(id)] += target - spread
                    }
                }
            }
        }
        for (place, entry) in kept.options.enumerated() {
            entry.state.sameTop += (0..<chunk.count).count {
                kept.top(place, row: $0) == chunk.largest[$0]
            }
        }
    }

    /// (1, V) for each ghost: the sum over rows of `SparseTerm.coefficient` times the student's
    /// probabilities r (n, V) at temperature 1.
    private func tailSums(_ rows: [SparseRow], _ kept: KeptTokens, _ r: Matrix) -> [Int: Matrix] {
        let places = kept.options.indices.filter {
            if case .topKGhost = kept.options[$0].state.option { return true }
            return false
        }
        guard !places.isEmpty else { return [:] }
        let factors = Matrix(zeros: places.count, rows.count)
        for (index, place) in places.enumerated() {
            for (row, values) in rows.enumerated() {
                factors[index, row] = values.terms[place]?.coefficient ?? 0
            }
        }
        let sums = Matrix(uninitialized: places.count, r.columns)
        multiply(factors, r, into: sums)
        return Dictionary(
            uniqueKeysWithValues: places.enumerated().map {
                ($1, sums.slice(rows: $0..<($0 + 1)))
            }
        )
    }

    /// Finds the most likely tokens, draws, and packs both.
    private func keep(_ chunk: FidelityChunk, _ keys: [FidelityRows.Key]) throws -> KeptTokens {
        let (z, scratch, columns) = (chunk.exact, chunk.scratch, chunk.exact.columns)
        let mostTokens = states.compactMap(\.option.keptTokens).max() ?? 0
        let mostDraws = states.compactMap(\.option.draws)
        let seed = settings.sampleSeed
        let atOne = chunk.atOne
        let found = eachRow(chunk.count) { row -> (ids: [UInt32], logs: [Float], [SampledTokens]) in
            var ids = [UInt32](repeating: 0, count: mostTokens)
            var logs = [Float](repeating: 0, count: mostTokens)
            var heap = [UInt64](repeating: 0, count: mostTokens)
            ck_top_k(z.row(row), columns, mostTokens, &ids, &logs, &heap)
            let partition = Float(atOne[row])
            for index in logs.indices { logs[index] -= partition }
            guard !mostDraws.isEmpty else { return (ids, logs, []) }
            let p = scratch.row(row)
            _ = ck_softmax_of(z.row(row), p, columns, 1)
            let draws = mostDraws.map {
                Self.draw(p, columns, count: $0, keys[row], seed: seed)
            }
            return (ids, logs, draws)
        }
        let partitions = atOne.map { Float($0) }
        var kept = KeptTokens(mostTokens: mostTokens)
        kept.topIDs = found.flatMap(\.ids)
        kept.exactLogs = eachRow(chunk.count) { row -> [Double] in
            let z = z.row(row)
            let ids = found[row].ids.map { Int($0) }
            let mine = ids.map { z[$0] }
            // Summed without the kept tokens: what is left of a difference would be rounding.
            for id in ids { z[id] = -.infinity }
            let others = ck_log_partition(z, columns, 1)
            for (id, value) in zip(ids, mine) { z[id] = value }
            return mine.map { Double($0) - atOne[row] } + [others - atOne[row]]
        }
        for state in states {
            if let k = state.option.keptTokens {
                if let trial = state.trial {
                    let read = try trial.topK(
                        found.flatMap { $0.ids[..<k] },
                        logProbs: found.flatMap { $0.logs[..<k] },
                        logPartitions: partitions
                    )
                    // The prefixes of a longer list are the same numbers.
                    if k == mostTokens { kept.topLogs = read }
                    if !read.allSatisfy(\.isFinite) {
                        for other in states where other.option.keptTokens == k {
                            other.limit = FidelityReference.tooSmall
                        }
                    }
                }
                if state.limit == nil { kept.options.append((state, nil)) }
            }
            if let draws = state.option.draws, let place = mostDraws.firstIndex(of: draws) {
                var samples = SampledTokens()
                for row in found {
                    samples.ids += row.2[place].ids
                    samples.counts += row.2[place].counts
                    samples.offsets.append(samples.ids.count)
                }
                try state.trial?.samples(samples, logPartitions: partitions)
                kept.options.append((state, samples))
            }
        }
        return kept
    }

    /// The draws that extraction makes of a row with the same seed.
    private static func draw(
        _ p: UnsafePointer<Float>,
        _ columns: Int,
        count: Int,
        _ key: FidelityRows.Key,
        seed: UInt64
    ) -> SampledTokens {
        var random = RandomNumbers(
            seed: seed,
            purpose: "sampled logits \(key.id)",
            counter: UInt64(key.position)
        )
        let uniform = (0..<count).map { _ in Double(random.next() >> 11) * 0x1p-53 }.sorted()
        var ids = [UInt32](repeating: 0, count: count)
        var counts = [UInt16](repeating: 0, count: count)
        var sums = [Double](repeating: 0, count: columns / 256 + 1)
        let found = ck_draw(p, columns, uniform, count, &sums, &ids, &counts)
        return SampledTokens(
            offsets: [0, found],
            ids: Array(ids[..<found]),
            counts: Array(counts[..<found])
        )
    }
}

extension FidelityOption {
    /// k of a top-k.
    var keptTokens: Int? {
        switch self {
        case .topKGhost(let k), .topKRenormalised(let k): k
        default: nil
        }
    }

    /// Draws of a row.
    var draws: Int? {
        if case .sampled(let count) = self { return count }
        return nil
    }
}

/// The tokens that sparse options keep of a chunk's rows.
struct KeptTokens {
    /// Each with the tokens drawn for it, if it draws.
    var options: [(state: FidelityOptionState, samples: SampledTokens?)] = []
    /// (rows, `mostTokens`) most likely first, and their log-probabilities at temperature 1 as read.
    var topIDs: [UInt32] = []
    var topLogs: [Float] = []
    /// (rows) of (`mostTokens` + 1): their exact log-probabilities at temperature 1, and last the
    /// logarithm of the mass of all others.
    var exactLogs: [[Double]] = []
    let mostTokens: Int

    init(mostTokens: Int) { self.mostTokens = mostTokens }

    /// The tokens of an option in a row.
    func ids(_ place: Int, row: Int) -> ArraySlice<UInt32> {
        if let samples = options[place].samples {
            return samples.ids[samples.offsets[row]..<samples.offsets[row + 1]]
        }
        let start = row * mostTokens
        return topIDs[start..<(start + (options[place].state.option.keptTokens ?? 0))]
    }

    /// The token that an option finds the most likely: the first of equals.
    func top(_ place: Int, row: Int) -> Int {
        let ids = ids(place, row: row)
        guard let samples = options[place].samples else { return Int(ids.first ?? 0) }
        let counts = samples.counts[ids.startIndex..<ids.endIndex]
        guard let most = counts.max(), let at = counts.firstIndex(of: most) else { return -1 }
        return Int(samples.ids[at])
    }
}

import CKernels
import Cache
import Tensors

/// Options that have logits of all tokens: hidden states with the head, and full logits.
extension CacheFidelity {
    /// What a dense option's logits are made of.
    enum DenseInput {
        /// (n, D) of the group, for this head.
        case states(Matrix, HeadProduct)
        /// The exact logits, less their log-partition, rounded by a trial.
        case logits(StorageTrial)
    }

    /// Stores a group's hidden states in every type and says what is read of them.
    func denseInputs(_ group: FidelityRows) throws -> [(FidelityOptionState, DenseInput)] {
        let count = group.keys.count
        func matrix(_ values: [Float]) -> Matrix { Matrix(values, rows: count, columns: width) }
        var inputs: [(FidelityOptionState, DenseInput)] = []
        var rounded: [CacheSignals.HiddenType: Matrix] = [:]
        for state in states {
            if case .hidden(let type) = state.option {
                // The trial runs in any case: its bytes may count where its figures do not.
                if let values = try state.trial?.hidden(group.exact) {
                    rounded[type] = matrix(values)
                } else {
                    state.limit = "a hidden state is too large for \(type.rawValue)"
                }
            }
            guard state.limit == nil else { continue }
            switch state.option {
            case .hidden(let type):
                if let states = rounded[type] { inputs.append((state, .states(states, head))) }
            case .hiddenBF16Head:
                if let states = rounded[.bf16], let bf16Head {
                    inputs.append((state, .states(states, bf16Head)))
                }
            case .asStored:
                inputs.append((state, .states(matrix(group.stored), head)))
            case .teacherInBF16:
                if let bf16Head {
                    inputs.append((state, .states(matrix(group.inBF16), bf16Head)))
                }
            case .fullLogits:
                if let trial = state.trial { inputs.append((state, .logits(trial))) }
            case .topKGhost, .topKRenormalised, .sampled: break
            }
        }
        return inputs
    }

    /// Measures the dense options on a chunk.
    func measureDense(
        _ chunk: FidelityChunk,
        _ inputs: [(FidelityOptionState, DenseInput)]
    ) throws {
        for (state, input) in inputs {
            guard state.limit == nil else { continue }
            guard try fill(chunk, input) else {
                state.limit = FidelityReference.tooSmall
                continue
            }
            let (y, z, d) = (chunk.option, chunk.exact, chunk.scratch)
            let columns = y.columns
            let tops = eachRow(chunk.count) { row -> Int in
                var at = 0
                _ = ck_largest(y.row(row), columns, &at)
                return at
            }
            state.sameTop += zip(tops, chunk.largest).count { $0 == $1 }
            for (t, temperature) in settings.temperatures.enumerated() {
                let (p, partitions) = (chunk.probabilities[t], chunk.partitions[t])
                let rows = eachRow(chunk.count) { row -> FidelityRow in
                    let mine = ck_log_partition(y.row(row), columns, 1 / temperature)
                    var sums = ck_distances()
                    ck_distances_row(
                        z.row(row),
                        partitions[row],
                        y.row(row),
                        mine,
                        1 / temperature,
                        p.row(row),
                        d.row(row),
                        columns,
                        &sums
                    )
                    return FidelityRow(
                        kl: sums.kl,
                        totalVariation: sums.absolute / 2,
                        squares: sums.squares
                    )
                }
                for (row, exact) in zip(rows, chunk.gaps.values[t]) {
                    state.tallies[t].add(row, exact: exact)
                }
                addColumnSums(d, to: &state.sums[t].batch)
            }
        }
    }

    /// Puts an option's logits where the chunk has room for them.
    ///
    /// - Returns: False when it cannot hold them.
    private func fill(_ chunk: FidelityChunk, _ input: DenseInput) throws -> Bool {
        switch input {
        case .states(let states, let head):
            head.logits(states.slice(rows: chunk.rows), into: chunk.option)
            return true
        case .logits(let trial):
            let (y, z, atOne) = (chunk.option, chunk.exact, chunk.atOne)
            parallelRanges(chunk.count) { range, _ in
                for row in range {
                    let partition = Float(atOne[row])
                    for column in 0..<z.columns {
                        y.row(row)[column] = z.row(row)[column] - partition
                    }
                }
            }
            return try trial.fullLogits(
                UnsafeMutableBufferPointer(start: y.base, count: y.count),
                logPartitions: atOne.map { Float($0) }
            )
        }
    }
}

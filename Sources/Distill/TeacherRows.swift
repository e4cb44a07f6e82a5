import CKernels
import Cache
import Foundation
import Tensors

/// What is known of the teacher's distribution at the rows of a batch.
public enum TeacherRows: Sendable {
    /// Hidden states times the head.
    case exact
    /// (m, V_t) log-probabilities at temperature 1.
    case full(Matrix)
    /// (m, k) tokens and their log-probabilities at temperature 1, row after row.
    case topK(ids: [UInt32], logProbs: [Float], k: Int)
    /// Draws at temperature 1 of each row.
    case sampled(SampledTokens)
}

/// Some rows of a batch's teacher, ready to be held against a student's distribution.
struct TeacherTarget {
    let rows: TeacherRows
    /// (m, D); empty where the signal is stored.
    let hidden: Matrix
    let head: HeadProduct
    let settings: CriterionSettings

    init(_ batch: CriterionBatch, _ models: CriterionModels, _ settings: CriterionSettings) {
        rows = batch.teacherRows
        hidden = batch.teacher.hidden
        head = models.teacherHead
        self.settings = settings
    }

    /// Targets of the rows, in their order.
    ///
    /// - Parameters:
    ///   - vocabulary: Of the side that learns; tokens of the teacher that it lacks are cut from whole
    ///     distributions.
    ///   - head: The teacher's, perhaps cut.
    /// - Throws: `DistillError.unfit` for stored tokens beyond the vocabulary.
    func source(
        _ selection: [Int],
        vocabulary: Int,
        head: HeadProduct? = nil
    ) throws -> HeadLoss.Target.Source {
        switch rows {
        case .exact:
            return .product(hidden: hidden.gathered(selection), head: head ?? self.head)
        case .full(let logProbs):
            return .stored(logProbs.gathered(selection))
        case .topK, .sampled:
            let sparse = sparse(selection)
            try requireTokens(sparse, below: vocabulary)
            return .sparse(sparse)
        }
    }

    private func requireTokens(_ rows: SparseRows, below vocabulary: Int) throws {
        guard let token = rows.ids.first(where: { Int($0) >= vocabulary }) else { return }
        throw DistillError.unfit(
            "the teacher's token \(token) is beyond the \(vocabulary) of the side it is compared "
                + "with; use teacher_signal: exact"
        )
    }

    /// The most likely token of each row, first of equals.
    func largest(_ selection: [Int], engine: HeadLoss) -> [UInt32] {
        switch rows {
        case .exact:
            return engine.largest(hidden: hidden.gathered(selection), head: head)
        case .full(let logProbs):
            return selection.map { row in
                var index = 0
                _ = ck_largest(logProbs.row(row), logProbs.columns, &index)
                return UInt32(index)
            }
        case .topK(let ids, let logProbs, let k):
            return selection.map { row in
                let entries = row * k..<(row + 1) * k
                let top = logProbs[entries].max() ?? 0
                return entries.filter { logProbs[$0] == top }.map { ids[$0] }.min() ?? 0
            }
        case .sampled:
            preconditionFailure("draws have no most likely token")
        }
    }

    /// Rows whose tokens are carried over to the student's vocabulary, tempered before: their targets
    /// are at temperature 1.
    ///
    /// - Throws: `DistillError.unfit` for stored tokens beyond the map.
    func mapped(_ selection: [Int], map: [UInt32]) throws -> SparseRows {
        let own = sparse(selection)
        try requireTokens(own, below: map.count)
        var result = SparseRows(hasGhost: own.ghosts != nil)
        let tau = Double(settings.temperature)
        for row in selection.indices {
            own.withRow(row) { ids, logs, count, ghost in
                guard let ids, let logs else { return }
                let top = Double((0..<count).map { logs[$0] }.max() ?? 0)
                var sums: [UInt32: Double] = [:]
                var all = 0.0
                for entry in 0..<count {
                    let share = exp((Double(logs[entry]) - top) / tau)
                    sums[map[Int(ids[entry])], default: 0] += share
                    all += share
                }
                let rest = ghost.map { exp((Double($0.pointee) - top) / tau) } ?? 0
                all += rest
                let tokens = sums.keys.sorted()
                result.append(
                    ids: tokens,
                    logs: tokens.map { Float(log((sums[$0] ?? 0) / all)) },
                    ghost: Float(log(rest / all))
                )
            }
        }
        return result
    }

    private func sparse(_ selection: [Int]) -> SparseRows {
        switch rows {
        case .exact, .full:
            preconditionFailure("the whole distribution is known")
        case .topK(let ids, let logProbs, let k):
            var result = SparseRows(hasGhost: settings.topKTail == .ghost)
            for row in selection {
                let entries = row * k..<(row + 1) * k
                let logs = logProbs[entries]
                result.append(
                    ids: ids[entries],
                    logs: logs,
                    ghost: Float(SparseRows.tail(of: logs.lazy.map(Double.init)))
                )
            }
            return result
        case .sampled(let samples):
            var result = SparseRows(hasGhost: false)
            for row in selection {
                let entries = samples.offsets[row]..<samples.offsets[row + 1]
                let counts = samples.counts[entries]
                let draws = counts.reduce(0.0) { $0 + Double($1) }
                result.append(
                    ids: samples.ids[entries],
                    logs: counts.map { Float(log(Double($0) / draws)) }
                )
            }
            return result
        }
    }
}

extension Matrix {
    /// Whether that is every row, in order.
    func isWhole(_ selection: [Int]) -> Bool {
        selection.count == rows && zip(selection, 0...).allSatisfy(==)
    }

    /// The rows of these numbers; the matrix itself where they are all of its rows in order.
    func gathered(_ selection: [Int]) -> Matrix {
        if isWhole(selection) { return self }
        let result = Matrix(uninitialized: selection.count, columns)
        for (target, source) in selection.enumerated() {
            result.row(target).update(from: row(source), count: columns)
        }
        return result
    }

    /// Puts the rows of `part` where `gathered` would take them from.
    func scatter(_ part: Matrix, to selection: [Int]) {
        for (source, target) in selection.enumerated() {
            row(target).update(from: part.row(source), count: columns)
        }
    }
}

import Tensors

/// Rows of an input embedding for the tokens that occur in a cache.
public struct EmbeddingRows: Sendable {
    /// (rows, D).
    public let rows: Matrix
    /// The row of each token; nil where row i is token i's.
    private let index: [UInt32: Int]?

    /// - Parameters:
    ///   - ids: The token of each row.
    ///   - rows: (ids.count, D).
    public init(ids: [UInt32], rows: Matrix) {
        precondition(ids.count == rows.rows, "\(ids.count) tokens for \(rows.rows) rows")
        self.rows = rows
        index = Dictionary(
            zip(ids, 0..<ids.count),
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// An embedding of which every row is there.
    public init(all rows: Matrix) {
        self.rows = rows
        index = nil
    }

    /// Copies the rows of some tokens into the columns of `out` (ids.count, D).
    ///
    /// - Throws: `DistillError.noEmbeddingRow` for a token that has none.
    func gather(_ ids: [UInt32], into out: Matrix) throws {
        for (position, id) in ids.enumerated() {
            guard let row = row(id) else { throw DistillError.noEmbeddingRow(token: id) }
            out.row(position).update(from: rows.row(row), count: rows.columns)
        }
    }

    private func row(_ id: UInt32) -> Int? {
        guard let index else { return Int(id) < rows.rows ? Int(id) : nil }
        return index[id]
    }
}

import Models
import Tensors

/// The teacher's head: makes logits of hidden states, some rows at a time.
final class TeacherHead {
    /// Rows of logits that are in memory at once.
    private static let chunkRows = 256

    /// [V, D].
    let weight: Parameter
    private let packed: PackedWeights

    init(_ weight: Parameter, compute: ComputeType) {
        self.weight = weight
        packed = PackedWeights(weight.value, compute: compute)
    }

    /// V.
    var vocabularySize: Int { packed.outputs }

    /// Calls `body` with every run of rows of `hidden` (n, D) and their logits (rows, V) float32, which
    /// last until it returns.
    func forEachLogits(
        of hidden: Matrix,
        _ body: (_ rows: Range<Int>, _ logits: Matrix) throws -> Void
    ) rethrows {
        let logits = Matrix(
            uninitialized: min(Self.chunkRows, max(1, hidden.rows)),
            vocabularySize
        )
        for start in stride(from: 0, to: hidden.rows, by: Self.chunkRows) {
            let rows = start..<min(start + Self.chunkRows, hidden.rows)
            let part = logits.slice(rows: 0..<rows.count)
            packed.multiply(hidden.slice(rows: rows), into: part)
            try body(rows, part)
        }
    }
}

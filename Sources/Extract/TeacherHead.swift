import Models
import Tensors

/// What makes logits of hidden states.
protocol LogitSource {
    /// V.
    var vocabularySize: Int { get }

    /// Calls `body` with every run of rows of `hidden` (n, D) and their logits (rows, V) float32, which
    /// last until it returns.
    ///
    /// - Throws: What `body` throws; `ModelError` when weights cannot be read.
    func forEachLogits(
        of hidden: Matrix,
        _ body: (_ rows: Range<Int>, _ logits: Matrix) throws -> Void
    ) throws
}

/// The teacher's head: makes logits of hidden states, some rows and some tokens at a time.
///
/// It is cut into slices of the vocabulary, in memory all the time where there is room, else read
/// whenever they are needed. Rows and slices are cut by the model's sizes alone, so the logits are the
/// same bits either way.
final class TeacherHead: LogitSource {
    /// [V, D].
    let table: TeacherTable
    private let compute: ComputeType
    private let configuration: ModelConfiguration
    private var slices: [PackedWeights] = []

    /// - Parameter isResident: Whether all of it is read now and stays in memory.
    /// - Throws: `ModelError` when the checkpoint lacks it.
    init(_ checkpoint: Checkpoint, compute: ComputeType, isResident: Bool) throws {
        table = try Self.table(checkpoint)
        self.compute = compute
        configuration = checkpoint.configuration
        if isResident {
            for range in Self.sliceRanges(vocabulary: table.rows, width: table.columns) {
                slices.append(try slice(range))
            }
        }
    }

    static func table(_ checkpoint: Checkpoint) throws -> TeacherTable {
        let architecture = checkpoint.architecture
        return try TeacherTable(checkpoint) {
            try checkpoint.configuration.tiesEmbeddings
                ? architecture.tokenEmbedding(from: $0) : architecture.head(from: $0)
        }
    }

    /// V.
    var vocabularySize: Int { table.rows }

    /// Rows of logits that are in memory at once: as many as fit into 32 MiB.
    static func chunkRows(vocabulary: Int) -> Int {
        min(256, max(16, (32 << 20) / (4 * max(1, vocabulary)) / 16 * 16))
    }

    /// Tokens of a slice: 8 MiB of float32 weights.
    static func sliceTokens(width: Int) -> Int {
        max(64, (8 << 20) / (4 * max(1, width)) / 64 * 64)
    }

    private static func sliceRanges(vocabulary: Int, width: Int) -> [Range<Int>] {
        let step = sliceTokens(width: width)
        return stride(from: 0, to: vocabulary, by: step).map { $0..<min($0 + step, vocabulary) }
    }

    private func slice(_ range: Range<Int>) throws -> PackedWeights {
        let weight = Matrix(uninitialized: range.count, table.columns)
        try table.read(rows: range, into: weight.base)
        return PackedWeights(weight, compute: compute)
    }

    func forEachLogits(
        of hidden: Matrix,
        _ body: (_ rows: Range<Int>, _ logits: Matrix) throws -> Void
    ) throws {
        let step = Self.chunkRows(vocabulary: vocabularySize)
        let logits = Matrix(uninitialized: min(step, max(1, hidden.rows)), vocabularySize)
        let ranges = Self.sliceRanges(vocabulary: vocabularySize, width: table.columns)
        for start in stride(from: 0, to: hidden.rows, by: step) {
            let rows = start..<min(start + step, hidden.rows)
            let part = logits.slice(rows: 0..<rows.count)
            let input = PackedRows(hidden.slice(rows: rows), compute: compute)
            for (index, range) in ranges.enumerated() {
                let weights = slices.isEmpty ? try slice(range) : slices[index]
                weights.multiply(input, into: part.slice(columns: range))
            }
            configuration.capLogits(part)
            try body(rows, part)
        }
    }
}

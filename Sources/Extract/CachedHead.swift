import Cache
import Models
import Tensors

/// A teacher's head out of a cache.
public struct CachedHead: LogitSource {
    private let weights: PackedWeights
    private let softCap: Float?
    let vocabularySize: Int

    /// Reads the head (V, D), which stays in memory.
    ///
    /// - Throws: `CacheError`.
    public init(_ reader: CacheReader, compute: ComputeType = .f32) throws {
        let (values, rows, columns) = try reader.teacherHead()
        let scale = try reader.logitScale()
        let matrix = Matrix(values, rows: rows, columns: columns)
        if scale != 1 { for i in 0..<matrix.count { matrix.base[i] *= scale } }
        weights = PackedWeights(matrix, compute: compute)
        softCap = reader.manifest.description.teacher.logitSoftCap
        vocabularySize = rows
    }

    func forEachLogits(
        of hidden: Matrix,
        _ body: (_ rows: Range<Int>, _ logits: Matrix) throws -> Void
    ) throws {
        let step = TeacherHead.chunkRows(vocabulary: vocabularySize)
        let logits = Matrix(uninitialized: min(step, max(1, hidden.rows)), vocabularySize)
        for start in stride(from: 0, to: hidden.rows, by: step) {
            let rows = start..<min(start + step, hidden.rows)
            let part = logits.slice(rows: 0..<rows.count)
            weights.multiply(hidden.slice(rows: rows), into: part)
            Models.softCap(part, at: softCap)
            try body(rows, part)
        }
    }

    /// The same records with the logits that `topK` and `signals` ask for, made of their hidden states.
    ///
    /// What a record has already is made anew, but for full logits of a cache that has no others.
    /// - Throws: `CacheError`, `ModelError`.
    public func complete(
        _ records: [CacheRecord],
        topK: Int,
        signals: CacheSignals
    ) throws -> [CacheRecord] {
        let rows = records.reduce(0) { $0 + $1.rows }
        guard rows > 0,
            let width = records.first(where: { $0.rows > 0 }).map({
                $0.hidden.count / $0.rows
            })
        else { return records }
        var full: [Float] = []
        let logits = try LogitSignals(
            Matrix(records.flatMap(\.hidden), rows: rows, columns: width),
            k: topK,
            signals: signals,
            keys: records.flatMap { record in
                record.positions.map { LogitSignals.RowKey(id: record.id, position: $0) }
            },
            head: self,
            full: { full.append(contentsOf: $0) }
        )
        var row = 0
        return records.map { record in
            var record = record
            let rows = row..<row + record.rows
            row = rows.upperBound
            let entries = rows.lowerBound * topK..<rows.upperBound * topK
            record.topKIDs = Array(logits.ids[entries])
            record.topKLogProbs = Array(logits.logProbabilities[entries])
            record.logPartition =
                logits.logPartitions.isEmpty ? [] : Array(logits.logPartitions[rows])
            record.samples =
                signals.samples > 0 ? logits.samples.slice(rows: rows) : SampledTokens()
            record.fullLogProbs =
                signals.fullLogits == nil
                ? []
                : Array(full[rows.lowerBound * vocabularySize..<rows.upperBound * vocabularySize])
            return record
        }
    }
}

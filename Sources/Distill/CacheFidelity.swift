import Cache
import Tensors

/// Hidden states of some rows of a cache's teacher.
public struct FidelityRows {
    /// A row's example and position, which decide its draws.
    public struct Key: Sendable {
        let id: String
        let position: Int

        /// - Parameters:
        ///   - id: The record's.
        ///   - position: In the record's tokens.
        public init(id: String, position: Int) {
            self.id = id
            self.position = position
        }
    }

    /// n rows.
    public var keys: [Key]
    /// (n, D) row-major: those taken for exact.
    public var exact: [Float]
    /// (n, D) what the cache has, where that is something else; else empty.
    public var stored: [Float]
    /// (n, D) those of a run of the teacher in bf16; else empty.
    public var inBF16: [Float]

    /// Rows of these states; none by default.
    public init(
        keys: [Key] = [],
        exact: [Float] = [],
        stored: [Float] = [],
        inBF16: [Float] = []
    ) {
        self.keys = keys
        self.exact = exact
        self.stored = stored
        self.inBF16 = inBF16
    }

    mutating func append(_ other: FidelityRows) {
        keys += other.keys
        exact += other.exact
        stored += other.stored
        inBF16 += other.inBF16
    }

    /// Takes the first `count` rows away.
    mutating func removeFirst(_ count: Int, width: Int) -> FidelityRows {
        func cut(_ values: inout [Float]) -> [Float] {
            guard !values.isEmpty else { return [] }
            defer { values.removeFirst(count * width) }
            return Array(values[..<(count * width)])
        }
        defer { keys.removeFirst(count) }
        return FidelityRows(
            keys: Array(keys[..<count]),
            exact: cut(&exact),
            stored: cut(&stored),
            inBF16: cut(&inBF16)
        )
    }
}

/// Measures what each way of storing a teacher costs in bytes and in truth (docs/fidelity.md).
///
/// Rows are measured in groups that share int8 scales, and within them in chunks whose
/// vocabulary-sized matrices fit `FidelitySettings.memoryLimit`. Besides, every option has two vectors
/// of V doubles for each temperature. One thread at a time.
public final class CacheFidelity {
    let head: HeadProduct
    let bf16Head: HeadProduct?
    let settings: FidelitySettings
    let reference: FidelityReference
    let states: [FidelityOptionState]
    /// For each temperature: the exact gradient, s - p.
    let exactSums: [GradientSum]
    let width: Int
    private(set) var rowCount = 0
    private var rowsInBatch = 0
    private var pending = FidelityRows()
    private var buffers: FidelityBuffers
    private let reader: CacheReader

    /// Reads the teacher's head.
    ///
    /// - Parameters:
    ///   - reference: What `FidelityRows.exact` will hold.
    ///   - settings: Temperatures above 0, at least one; k and draws above 0.
    /// - Throws: `CacheError`.
    public init(
        _ reader: CacheReader,
        reference: FidelityReference,
        settings: FidelitySettings = FidelitySettings()
    ) throws {
        precondition(!settings.temperatures.isEmpty && settings.temperatures.allSatisfy { $0 > 0 })
        let teacher = try CachedTeacher(reader, compute: .f32, needsEmbedding: false)
        head = teacher.head
        width = teacher.hiddenSize
        bf16Head =
            ComputeType.hasBF16
            ? HeadProduct(frozen: head.weight, softCap: head.softCap, compute: .bf16) : nil
        self.reader = reader
        self.settings = settings
        self.reference = reference
        let (vocabulary, count) = (head.vocabulary, settings.temperatures.count)
        var options = settings.options(vocabulary: vocabulary, reference)
        if reference == .teacher {
            options += [
                .asStored(reader.manifest.description.signals.hiddenType), .teacherInBF16,
            ]
        }
        states = options.map {
            FidelityOptionState(
                $0,
                limit: reference.limit($0),
                temperatures: count,
                vocabulary: vocabulary,
                hiddenSize: teacher.hiddenSize
            )
        }
        exactSums = (0..<count).map { _ in GradientSum(vocabulary: vocabulary) }
        buffers = FidelityBuffers(vocabulary: vocabulary, settings)
    }

    /// Takes rows in; they are measured when a group of `CacheSignals.rowsOfAScale` is full.
    ///
    /// - Parameters:
    ///   - progress: Called with the rows measured so far.
    ///   - shouldStop: Asked between chunks.
    /// - Returns: False when it was stopped; nothing can be made of what it has then.
    /// - Throws: `CacheError` when rows cannot be packed.
    public func append(
        _ rows: FidelityRows,
        progress: (Int) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> Bool {
        let count = rows.keys.count
        precondition(
            rows.exact.count == count * width,
            "\(rows.exact.count) for \(count) rows of \(width)"
        )
        pending.append(rows)
        while pending.keys.count >= CacheSignals.rowsOfAScale {
            let group = pending.removeFirst(CacheSignals.rowsOfAScale, width: width)
            guard try measure(group, progress, shouldStop) else { return false }
        }
        return true
    }

    /// Measures the rows that still wait.
    ///
    /// - Parameters: As for `append`.
    /// - Returns: Nil when it was stopped.
    /// - Throws: `CacheError` when rows cannot be packed.
    public func finish(
        split: String,
        examples: Int,
        progress: (Int) -> Void = { _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> FidelityReport? {
        if !pending.keys.isEmpty {
            let group = pending.removeFirst(pending.keys.count, width: width)
            guard try measure(group, progress, shouldStop) else { return nil }
        }
        closeBatch(isWhole: false)
        return try report(split: split, examples: examples, reader)
    }

    /// A group of at most `CacheSignals.rowsOfAScale` rows.
    private func measure(
        _ group: FidelityRows,
        _ progress: (Int) -> Void,
        _ shouldStop: () -> Bool
    ) throws -> Bool {
        let count = group.keys.count
        let inputs = try denseInputs(group)
        let exact = Matrix(group.exact, rows: count, columns: width)
        var start = 0
        while start < count {
            guard !shouldStop() else { return false }
            let end = min(
                count,
                start + buffers.rows,
                start + settings.batchRows - rowsInBatch
            )
            let chunk = FidelityChunk(buffers, rows: start..<end, exact, head, settings)
            try measureSparse(chunk, Array(group.keys[start..<end]))
            try measureDense(chunk, inputs)
            rowCount += end - start
            rowsInBatch += end - start
            if rowsInBatch == settings.batchRows { closeBatch(isWhole: true) }
            progress(rowCount)
            start = end
        }
        return true
    }

    /// - Parameter isWhole: Whether the batch is as large as it should be, and counts.
    private func closeBatch(isWhole: Bool) {
        rowsInBatch = 0
        let norms = exactSums.map(\.batchNorm)
        for state in states {
            for (t, sum) in state.sums.enumerated() {
                if isWhole, norms[t] > 0 { state.tallies[t].add(batch: sum.batchNorm / norms[t]) }
                sum.close()
            }
        }
        for sum in exactSums { sum.close() }
    }
}

/// What is known of an option so far.
final class FidelityOptionState {
    let option: FidelityOption
    /// Why it has no figures.
    var limit: String?
    /// One for each temperature.
    var tallies: [FidelityTally]
    /// One for each temperature: the sum of q - p.
    let sums: [GradientSum]
    var sameTop = 0
    /// Nil where another option is stored the same way.
    let trial: StorageTrial?

    init(
        _ option: FidelityOption,
        limit: String?,
        temperatures: Int,
        vocabulary: Int,
        hiddenSize: Int
    ) {
        self.option = option
        self.limit = limit
        tallies = [FidelityTally](repeating: FidelityTally(), count: temperatures)
        sums =
            limit == nil
            ? (0..<temperatures).map { _ in GradientSum(vocabulary: vocabulary) } : []
        switch option {
        case .hidden, .topKGhost, .sampled, .fullLogits:
            trial = option.signal.map {
                if case .hidden = $0 { return StorageTrial($0, width: hiddenSize) }
                return StorageTrial($0, width: vocabulary)
            }
        case .hiddenBF16Head, .topKRenormalised, .asStored, .teacherInBF16:
            trial = nil
        }
    }
}

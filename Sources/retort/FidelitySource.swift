import Cache
import Distill
import Extract
import Foundation
import Models
import Tensors

/// The teacher of a cache, to be run again.
struct FidelityTeacher {
    let checkpoint: Checkpoint

    /// - Throws: `ModelError`; `Failure` (65) when it is not the one that the cache was made with.
    init(_ path: String, adapter: String?, of reader: CacheReader, cache: String) throws {
        checkpoint = try Checkpoint(
            URL(fileURLWithPath: path),
            adapter: adapter.map { URL(fileURLWithPath: $0) }
        )
        let expected = reader.manifest.description.teacher
        let c = checkpoint.configuration
        guard c.hiddenSize == expected.hiddenSize, c.vocabularySize == expected.vocabularySize
        else {
            throw Failure(
                "\(path): \(c.hiddenSize) wide with \(c.vocabularySize) tokens, but the teacher of "
                    + "\(cache) is \(expected.hiddenSize) wide with \(expected.vocabularySize); give "
                    + "the model that it was made with, \(expected.name)",
                code: Failure.Code.badData
            )
        }
        let found = try weightsFingerprint(checkpoint)
        guard found == expected.weightsSHA256 else {
            throw Failure(
                "\(path): its weights (\(found.prefix(12))…) are not those that \(cache) was made "
                    + "with (\(expected.weightsSHA256.prefix(12))…); give the same files of "
                    + "\(expected.name), and --adapter if it had one",
                code: Failure.Code.badData
            )
        }
    }

    /// The final hidden states of all tokens of each record but the last, end to end.
    func states(
        _ records: [CacheRecord],
        _ compute: ComputeType,
        layerDone: () throws -> Void
    ) throws -> [Float] {
        var values: [Float] = []
        try TeacherRun(records.map(\.tokenIDs)).finalStates(
            of: checkpoint,
            compute: compute,
            layerDone: layerDone
        ) { values += $0.values }
        return values
    }
}

/// The supervised rows of a split, block by block.
final class FidelitySource {
    /// More rows there are not.
    let mostRows: Int
    /// Examples given so far.
    private(set) var examples = 0
    private let reader: CacheReader
    private let split: String
    private let teacher: FidelityTeacher?
    private var rowsLeft: Int
    /// Rows handed out.
    private var given = 0

    /// Tokens that go through a layer of the teacher before the next is loaded.
    private static let blockTokens = 16_384

    /// - Parameter limit: Rows at most; 0 for all.
    init(_ reader: CacheReader, split: String, limit: Int, teacher: FidelityTeacher?) {
        self.reader = reader
        self.split = split
        self.teacher = teacher
        rowsLeft = limit > 0 ? limit : Int.max
        let there = reader.manifest.shards.reduce(0) {
            $0 + ($1.splits[split] == nil ? 0 : $1.rows)
        }
        mostRows = min(rowsLeft, there)
    }

    /// Calls `body` with rows until it returns false, or there are no more.
    ///
    /// - Parameter layerDone: Called while the teacher runs, with its precision; throws to stop.
    /// - Returns: What `body` returned last.
    func forEachBlock(
        layerDone: (String) throws -> Void,
        body: (FidelityRows) throws -> Bool
    ) throws -> Bool {
        var block: [CacheRecord] = []
        var tokens = 0
        func send() throws -> Bool {
            defer { (block, tokens) = ([], 0) }
            return try block.isEmpty || body(rows(of: block, layerDone))
        }
        for (index, entry) in reader.manifest.shards.enumerated() {
            guard rowsLeft > 0 else { break }
            guard (entry.splits[split] ?? 0) > 0 else { continue }
            let shard = try reader.shard(index)
            for place in 0..<shard.recordCount where shard.splits[place] == split {
                guard rowsLeft > 0 else { break }
                let record = try shard.record(place, logits: false)
                guard !record.supervised.isEmpty else { continue }
                rowsLeft -= min(rowsLeft, record.supervised.count)
                tokens += record.tokenIDs.count
                examples += 1
                block.append(record)
                // Without a teacher nothing is gained by more than a record at a time.
                if teacher == nil || tokens >= Self.blockTokens {
                    guard try send() else { return false }
                }
            }
        }
        return try send()
    }

    private func rows(
        of records: [CacheRecord],
        _ layerDone: (String) throws -> Void
    ) throws -> FidelityRows {
        let width = reader.manifest.description.teacher.hiddenSize
        var exact: [Float] = []
        var inBF16: [Float] = []
        if let teacher {
            exact = try teacher.states(records, .f32) { try layerDone("f32") }
            if ComputeType.hasBF16 {
                inBF16 = try teacher.states(records, .bf16) { try layerDone("bf16") }
            }
        }
        var rows = FidelityRows()
        var start = 0
        for record in records {
            let count = min(record.supervised.count, mostRows - given)
            given += count
            let positions = record.supervised.prefix(count)
            rows.keys += positions.map { FidelityRows.Key(id: record.id, position: $0) }
            let stored = record.hidden[..<(count * width)]
            guard teacher != nil else {
                rows.exact += stored
                continue
            }
            let from = (start + record.supervised.lowerBound) * width
            let wanted = from..<(from + count * width)
            rows.stored += stored
            rows.exact += exact[wanted]
            if !inBF16.isEmpty { rows.inBF16 += inBF16[wanted] }
            start += record.tokenIDs.count - 1
        }
        return rows
    }
}

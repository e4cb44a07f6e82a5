import Foundation

/// One shard, open for reading.
///
/// Safe to use from several threads, which do not wait for each other.
public final class ShardReader: Sendable {
    /// Examples in the shard.
    public let recordCount: Int
    /// Content keys, 32 hex digits each.
    public let ids: [String]
    /// Split of each example.
    public let splits: [String]
    /// Tokens of each example.
    public let lengths: [Int]
    /// Supervised positions of each example.
    public let rowCounts: [Int]
    /// Path of the file, for messages.
    public let path: String

    let description: CacheDescription
    private let readers: [String: ArrayReader]
    private let textOffsets: [Int]
    private let tokenOffsets: [Int]
    private let rowOffsets: [Int]
    private let supervised: [UInt32]

    /// Opens a shard: walks its structure, reads its small arrays.
    ///
    /// - Parameter chunks: Where unpacked chunks are kept for the next record.
    init(
        file: VerifiedFile,
        description: CacheDescription,
        entry: ShardEntry?,
        chunks: ChunkCache = ChunkCache(limit: 16 << 20)
    ) throws {
        path = file.path
        self.description = description
        let path = file.path
        let rowsLimit = entry.map { max($0.rows, $0.tokens, $0.records) + 1 } ?? (1 << 32)
        let signals = description.signals
        let widest = max(
            description.teacher.hiddenSize,
            description.topK,
            signals.samples,
            signals.fullLogits == nil ? 16 : description.teacher.vocabularySize
        )
        let (elements, overflow) = rowsLimit.multipliedReportingOverflow(by: widest)
        let textLimit = entry?.file.arrays[ShardFormat.textBytes]?.raw ?? (1 << 40)
        let listing = try file.list(limit: max(overflow ? Int.max : elements, textLimit, 4096))
        let header = try Self.header(listing.header, path: path)
        // Its number is the one it was made under, in this cache or in one that was merged into it.
        guard header.kind == "shard" else {
            throw CacheError.corrupt(path, "is \(header.kind), not a shard")
        }
        var readers: [String: ArrayReader] = [:]
        let arrays = ShardFormat.arrays(description)
        for (ordinal, array) in arrays.enumerated() {
            guard let layout = listing.arrays[array.name], layout.type == array.type,
                layout.columns == array.columns
            else {
                throw CacheError.corrupt(path, "'\(array.name)' is missing, or of another shape")
            }
            readers[array.name] = ArrayReader(
                layout: layout,
                file: file,
                cache: chunks,
                ordinal: ordinal
            )
        }
        guard listing.arrays.count == arrays.count else {
            throw CacheError.corrupt(path, "holds arrays that are not of the format")
        }
        self.readers = readers
        func reader(_ name: String) throws -> ArrayReader {
            guard let reader = readers[name] else { throw CacheError.corrupt(path, "no '\(name)'") }
            return reader
        }
        func offsets(_ name: String, of target: String, count: Int) throws -> [Int] {
            let values = try reader(name).allIntegers(as: UInt64.self)
            let end = UInt64(try reader(target).layout.rows)
            guard values.count == count, values.first == 0, values.last == end,
                zip(values, values.dropFirst()).allSatisfy({ $0 <= $1 })
            else { throw CacheError.corrupt(path, "'\(name)' does not cut '\(target)' in order") }
            return values.map(Int.init)
        }
        let count = try reader(ShardFormat.split).layout.rows
        guard entry.map({ $0.records == count }) ?? true else {
            throw CacheError.corrupt(path, "\(count) records, not \(entry?.records ?? 0)")
        }
        recordCount = count
        textOffsets = try offsets(
            ShardFormat.textOffsets,
            of: ShardFormat.textBytes,
            count: 3 * count + 1
        )
        tokenOffsets = try offsets(
            ShardFormat.tokenOffsets,
            of: ShardFormat.tokenIDs,
            count: count + 1
        )
        rowOffsets = try offsets(ShardFormat.rowOffsets, of: ShardFormat.hidden, count: count + 1)
        let supervised: [UInt32] = try reader(ShardFormat.supervised).allIntegers()
        self.supervised = supervised
        let idBytes: [UInt8] = try reader(ShardFormat.exampleID).allIntegers()
        let splitNumbers: [UInt8] = try reader(ShardFormat.split).allIntegers()
        guard supervised.count == 2 * count, idBytes.count == 16 * count,
            splitNumbers.allSatisfy({ Int($0) < header.splits.count })
        else { throw CacheError.corrupt(path, "the arrays have not one row for each example") }
        let rows = rowOffsets[count]
        for array in arrays where array.isByRow {
            guard try reader(array.name).layout.rows == rows else {
                throw CacheError.corrupt(path, "'\(array.name)' has not \(rows) rows")
            }
        }
        try Self.checkSignals(readers, rows: rows, description, path: path)
        splits = splitNumbers.map { header.splits[Int($0)] }
        ids = (0..<count).map { Self.hex(idBytes[16 * $0..<16 * $0 + 16]) }
        lengths = zip(tokenOffsets, tokenOffsets.dropFirst()).map { $1 - $0 }
        rowCounts = stride(from: 0, to: 2 * count, by: 2).map {
            Int(supervised[$0 + 1]) - Int(supervised[$0])
        }
        for i in 0..<count {
            let end = Int(supervised[2 * i + 1])
            let expected = signals.positions == .all ? lengths[i] : rowCounts[i]
            guard rowCounts[i] >= 0, rowOffsets[i + 1] - rowOffsets[i] == expected,
                rowCounts[i] == 0 || end < lengths[i]
            else {
                throw CacheError.corrupt(path, "the supervised range of record \(i) does not fit")
            }
        }
    }

    /// Record `i`, without the parts not asked for.
    ///
    /// Its rows are those of the supervised positions unless `extra` asks for all.
    /// - Throws: `CacheError.corrupt` naming array and chunk when a checksum does not agree, or the
    ///   record when it has a token id that the teacher's vocabulary has not; `CacheError.missing`
    ///   naming a signal of `extra` that the cache does not have.
    public func record(
        _ i: Int,
        hidden: Bool = true,
        logits: Bool = true,
        extra: ExtraSignals = ExtraSignals()
    ) throws -> CacheRecord {
        precondition((0..<recordCount).contains(i), "record \(i) of \(recordCount)")
        try description.require(extra, path: path)
        let stored = rowOffsets[i]..<rowOffsets[i + 1]
        let first = Int(supervised[2 * i])
        var record = CacheRecord(
            id: ids[i],
            split: splits[i],
            prompt: try text(3 * i),
            response: try text(3 * i + 2),
            input: try text(3 * i + 1),
            tokenIDs: try reader(ShardFormat.tokenIDs).integers(
                rows: tokenOffsets[i]..<tokenOffsets[i + 1]
            ),
            supervised: first..<first + rowCounts[i],
            hidden: []
        )
        try requireTokens(record.tokenIDs, record: i)
        var rows = stored
        if extra.allPositions {
            record.positions = 0..<record.tokenIDs.count
        } else if description.signals.positions == .all {
            rows = stored.lowerBound + first..<stored.lowerBound + first + rowCounts[i]
        }
        if hidden { record.hidden = try self.hidden(ShardFormat.hidden, rows: rows, record: i) }
        if logits && description.topK > 0 {
            record.topKIDs = try reader(ShardFormat.topKIDs).integers(rows: rows)
            try requireTokens(record.topKIDs, record: i)
            record.topKLogProbs = try floats(ShardFormat.topKLogProbs, rows: rows, record: i)
        }
        if logits && description.hasLogits {
            record.logPartition = try floats(ShardFormat.logPartition, rows: rows, record: i)
        }
        for layer in extra.hiddenLayers {
            record.layers[layer] = try self.hidden(
                ShardFormat.layer(layer),
                rows: rows,
                record: i
            )
        }
        if extra.samples { record.samples = try samples(rows: rows, record: i) }
        if extra.fullLogits {
            record.fullLogProbs = try floats(ShardFormat.fullLogProbs, rows: rows, record: i)
        }
        return record
    }

    /// Ids index rows of the teacher's tables, and a stranger's file may hold any.
    private func requireTokens(_ ids: [UInt32], record: Int) throws {
        let vocabularySize = description.teacher.vocabularySize
        guard let bad = ids.first(where: { Int($0) >= vocabularySize }) else { return }
        throw CacheError.corrupt(
            path,
            "record \(record) has token id \(bad), but the teacher has \(vocabularySize) tokens"
        )
    }

    private func text(_ i: Int) throws -> String {
        let bytes = try reader(ShardFormat.textBytes).bytes(
            rows: textOffsets[i]..<textOffsets[i + 1]
        )
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CacheError.corrupt(path, "text \(i % 3) of record \(i / 3) is not UTF-8")
        }
        return text
    }

    func reader(_ name: String) throws -> ArrayReader {
        guard let reader = readers[name] else { throw CacheError.corrupt(path, "no '\(name)'") }
        return reader
    }

    private static func header(_ text: String, path: String) throws -> ShardFormat.Header {
        do {
            return try JSONDecoder().decode(ShardFormat.Header.self, from: Data(text.utf8))
        } catch {
            throw CacheError.corrupt(path, "the header is not a shard's: \(error)")
        }
    }

    private static func hex(_ bytes: ArraySlice<UInt8>) -> String {
        // A shard has thousands, all made when it is opened.
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
        return String(unsafeUninitializedCapacity: 2 * bytes.count) { out in
            for (i, byte) in bytes.enumerated() {
                out[2 * i] = digit(byte >> 4)
                out[2 * i + 1] = digit(byte & 15)
            }
            return 2 * bytes.count
        }
    }
}

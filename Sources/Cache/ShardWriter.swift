import CKernels
import Foundation

/// Collects the records of one shard; nothing is on the disk before `finish`.
///
/// Chunks are packed as they fill, so what is raw in memory is a few chunks of each array.
/// Memory: the packed shard. One thread at a time.
public final class ShardWriter {
    private let writer: CacheWriter
    private let index: Int
    private let expectedRecords: Int
    private let path: String
    private var builders: [String: ArrayBuilder] = [:]
    private var names: [String] = []
    private var splitNames: [String] = []
    private var splits: [String: Int] = [:]
    private var isOpen = true
    private var records = 0
    private var rows = 0
    private var tokens = 0
    private var textEnd = 0
    private var int8: [String: Int8Rows] = [:]
    private var samplesEnd = 0
    private var fullRows = 0

    init(writer: CacheWriter, index: Int, expectedRecords: Int) {
        self.writer = writer
        self.index = index
        self.expectedRecords = expectedRecords
        path = writer.directory.appendingPathComponent(CacheLayout.shardPath(index)).path
        for array in ShardFormat.arrays(writer.description) {
            names.append(array.name)
            builders[array.name] = ArrayBuilder(
                array.name,
                array.type,
                columns: array.columns,
                // What an older version began goes on as it was.
                chunkBytes: writer.description.formatVersion < 3
                    ? ArrayBuilder.chunkBytes : array.chunkBytes,
                splitsRows: array.name == ShardFormat.fullLogProbs,
                candidates: writer.description.codecs(array.type)
            )
        }
        for name in [
            ShardFormat.textOffsets, ShardFormat.tokenOffsets, ShardFormat.rowOffsets,
            ShardFormat.sampleOffsets,
        ] {
            builders[name]?.append([UInt64(0)])
        }
    }

    /// Adds one example.
    ///
    /// - Throws: `CacheError.mismatch` when its shapes do not fit or a value is not finite.
    public func append(_ record: CacheRecord) throws {
        guard isOpen else { throw closed() }
        try record.check(writer.description, path: path)
        let split = try number(ofSplit: record.split)
        add(ShardFormat.exampleID, record.idBytes ?? [])
        add(ShardFormat.split, [split])
        for text in [record.prompt, record.input, record.response] {
            let bytes = Array(text.utf8)
            textEnd += bytes.count
            add(ShardFormat.textBytes, bytes)
            add(ShardFormat.textOffsets, [UInt64(textEnd)])
        }
        tokens += record.tokenIDs.count
        rows += record.rows
        records += 1
        splits[record.split, default: 0] += 1
        add(ShardFormat.tokenIDs, record.tokenIDs)
        add(ShardFormat.tokenOffsets, [UInt64(tokens)])
        let range = record.supervised
        add(ShardFormat.supervised, [UInt32(range.lowerBound), UInt32(range.upperBound)])
        add(ShardFormat.rowOffsets, [UInt64(rows)])
        try addSignals(record)
    }

    private func addSignals(_ record: CacheRecord) throws {
        addHidden(ShardFormat.hidden, record.hidden)
        for (layer, values) in record.layers { addHidden(ShardFormat.layer(layer), values) }
        add(ShardFormat.topKIDs, record.topKIDs)
        add(ShardFormat.topKLogProbs, halves(record.topKLogProbs, ck_f32_to_f16))
        add(ShardFormat.logPartition, record.logPartition)
        add(
            ShardFormat.sampleOffsets,
            record.samples.offsets.dropFirst().map { UInt64(samplesEnd + $0) }
        )
        samplesEnd += record.samples.ids.count
        add(ShardFormat.sampleIDs, record.samples.ids)
        add(ShardFormat.sampleCounts, record.samples.counts)
        let vocabulary = writer.description.teacher.vocabularySize
        try record.fullLogProbs.withUnsafeBufferPointer { values in
            for start in stride(from: 0, to: values.count, by: vocabulary) {
                try appendFullLogits(
                    UnsafeBufferPointer(rebasing: values[start..<start + vocabulary])
                )
            }
        }
    }

    /// Adds one row (V) of log-probabilities at temperature 1.
    ///
    /// All rows of all records are given in order, before or after the records they belong to: so
    /// that nobody has to hold rows x V numbers. A record with `fullLogProbs` of its own gives them
    /// itself.
    /// - Throws: `CacheError.mismatch` when the cache has no such rows or a number is not finite in
    ///   the stored type.
    public func appendFullLogits(_ row: UnsafeBufferPointer<Float>) throws {
        guard isOpen else { throw closed() }
        let vocabulary = writer.description.teacher.vocabularySize
        guard let type = writer.description.signals.fullLogits, row.count == vocabulary,
            let values = row.baseAddress
        else { throw misfit("a row of \(row.count) log-probabilities of \(vocabulary)") }
        // The largest numbers of the two types.
        let limit = type == .f16 ? 65_504 : Float(bitPattern: 0x7F7F_0000)
        guard ck_count_nonfinite(values, row.count) == 0, (row.min() ?? 0) >= -limit else {
            throw misfit("a log-probability of row \(fullRows) is not finite as \(type.rawValue)")
        }
        let convert = type == .f16 ? ck_f32_to_f16 : ck_to_bf16
        add(ShardFormat.fullLogProbs, halves(row, convert))
        fullRows += 1
    }

    private func addHidden(_ name: String, _ values: [Float]) {
        switch writer.description.signals.hiddenType {
        case .bf16: add(name, halves(values, ck_to_bf16))
        case .f16: add(name, halves(values, ck_f32_to_f16))
        case .f32: add(name, values)
        case .int8:
            let width = writer.description.teacher.hiddenSize
            for group in int8[name, default: Int8Rows(width: width)].append(values) {
                add(name, group)
            }
        }
    }

    private func add(_ name: String, _ group: Int8Rows.Group) {
        add(name, group.values)
        add(ShardFormat.channelScale(name), group.channelScales)
        add(ShardFormat.rowScale(name), group.rowScales)
    }

    /// Writes the shard, reads it back, gives it its name and enters it in the journal.
    ///
    /// - Throws: `CacheError`; the shard is then not there, the earlier ones are.
    public func finish() throws -> ShardEntry {
        guard isOpen else { throw closed() }
        isOpen = false
        guard records == expectedRecords else {
            throw misfit("\(records) records, but \(expectedRecords) were planned")
        }
        if writer.description.signals.fullLogits != nil, fullRows != rows {
            throw misfit("\(fullRows) rows of full logits, but \(rows) rows in all")
        }
        for name in int8.keys.sorted() {
            if let group = int8[name]?.finish() { add(name, group) }
        }
        int8 = [:]
        let header = ShardFormat.Header(
            format: writer.description.formatVersion,
            kind: "shard",
            shard: index,
            splits: splitNames
        )
        let text = String(decoding: try canonicalJSON(header, lines: false), as: UTF8.self)
        var arrays: [StoredArray] = []
        for name in names {
            guard var builder = builders.removeValue(forKey: name) else { continue }
            arrays.append(builder.finish())
        }
        let file = try HDF5FileWriting.write(
            arrays,
            header: text,
            directory: writer.directory,
            path: CacheLayout.shardPath(index)
        )
        let entry = ShardEntry(
            index: index,
            records: records,
            rows: rows,
            tokens: tokens,
            splits: splits,
            file: file
        )
        try writer.enter(entry)
        return entry
    }

    /// Drops everything; nothing was written.
    public func abandon() {
        isOpen = false
        builders = [:]
        int8 = [:]
    }

    private func add<T: BitwiseCopyable>(_ name: String, _ values: [T]) {
        builders[name]?.append(values)
    }

    private typealias Conversion = (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void

    private func halves(_ values: [Float], _ convert: Conversion) -> [UInt16] {
        values.withUnsafeBufferPointer { halves($0, convert) }
    }

    private func halves(_ values: UnsafeBufferPointer<Float>, _ convert: Conversion) -> [UInt16] {
        [UInt16](unsafeUninitializedCapacity: values.count) { out, count in
            if let from = values.baseAddress, let to = out.baseAddress {
                convert(from, to, values.count)
            }
            count = values.count
        }
    }

    private func misfit(_ what: String) -> CacheError {
        CacheError(.mismatch, path: path, what, remedy: "This is a fault of the extractor.")
    }

    private func number(ofSplit name: String) throws -> UInt8 {
        if let i = splitNames.firstIndex(of: name) { return UInt8(i) }
        guard splitNames.count < 64, !name.isEmpty, name.utf8.count <= 128 else {
            throw CacheError(
                .unsupported,
                path: path,
                "split '\(name)' is the 65th, unnamed, or too long",
                remedy: "Use at most 64 splits with names of 1 to 128 bytes."
            )
        }
        splitNames.append(name)
        return UInt8(splitNames.count - 1)
    }

    private func closed() -> CacheError {
        CacheError(
            .unsupported,
            path: path,
            "the shard was finished or abandoned",
            remedy: "Begin it again."
        )
    }
}

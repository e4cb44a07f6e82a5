import CKernels
import Foundation

/// Collects the records of one shard; nothing is on the disk before `finish`.
///
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

    init(writer: CacheWriter, index: Int, expectedRecords: Int) {
        self.writer = writer
        self.index = index
        self.expectedRecords = expectedRecords
        path = writer.directory.appendingPathComponent(CacheLayout.shardPath(index)).path
        let description = writer.description
        for (name, type, columns) in ShardFormat.arrays(
            hiddenSize: description.teacher.hiddenSize,
            topK: description.topK
        ) {
            names.append(name)
            builders[name] = ArrayBuilder(name, type, columns: columns)
        }
        for name in [ShardFormat.textOffsets, ShardFormat.tokenOffsets, ShardFormat.rowOffsets] {
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
        add(ShardFormat.hidden, halves(record.hidden, ck_to_bf16))
        if writer.description.topK > 0 {
            add(ShardFormat.topKIDs, record.topKIDs)
            add(ShardFormat.topKLogProbs, halves(record.topKLogProbs, ck_f32_to_f16))
            add(ShardFormat.logPartition, record.logPartition)
        }
    }

    /// Writes the shard, reads it back, gives it its name and enters it in the journal.
    ///
    /// - Throws: `CacheError`; the shard is then not there, the earlier ones are.
    public func finish() throws -> ShardEntry {
        guard isOpen else { throw closed() }
        isOpen = false
        guard records == expectedRecords else {
            throw CacheError(
                .mismatch,
                path: path,
                "\(records) records, but \(expectedRecords) were planned",
                remedy: "This is a fault of the extractor."
            )
        }
        let header = ShardFormat.Header(
            format: CacheDescription.currentFormatVersion,
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
    }

    private func add<T: BitwiseCopyable>(_ name: String, _ values: [T]) {
        builders[name]?.append(values)
    }

    private func halves(
        _ values: [Float],
        _ convert: (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
    ) -> [UInt16] {
        [UInt16](unsafeUninitializedCapacity: values.count) { out, count in
            values.withUnsafeBufferPointer { x in
                guard let from = x.baseAddress, let to = out.baseAddress else { return }
                convert(from, to, x.count)
            }
            count = values.count
        }
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

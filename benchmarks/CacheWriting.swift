import Cache
import Foundation

/// Writing, whole and in parts.
extension CacheBench {
    /// A shard of all the examples of shard 0 of `from`: appending, finishing, and again by itself
    /// what finishing has beyond writing.
    func write(_ request: CacheRequest) throws -> [String: Double] {
        let key = request.origin.path
        if records[key] == nil { records[key] = try Self.firstShard(of: request.origin) }
        let examples = records[key] ?? []
        let writer = try writer(request, plan: [examples.count])
        let shard = try writer.beginShard(0, expectedRecords: examples.count)
        let before = processorSeconds()
        let append = try elapsed { for record in examples { try shard.append(record) } }
        let finish = try elapsed { _ = try shard.finish() }
        let used = processorSeconds() - before
        try writer.finish(counts: [:])
        guard let entry = writer.entries.first else { return [:] }
        let file = request.directory.appendingPathComponent(entry.file.path)
        let reader = try CacheReader(directory: request.directory).shard(0)
        let verify = try elapsed {
            for name in entry.file.arrays.keys {
                let chunks = try reader.stored(name).chunks.count
                try reader.check(name, chunks: 0..<chunks)
            }
        }
        let hash = try elapsed { _ = try sha256(of: file) }
        return [
            "append": append, "cpu": used, "finish": finish, "verify": verify, "hash": hash,
            "flush": try Self.flushing(of: file),
            "bytes": Double(entry.file.arrays.values.reduce(0) { $0 + $1.raw }),
        ]
    }

    /// Packs one array and writes it, without the conversion from float, the flush and the reading back.
    func pack(_ request: CacheRequest) throws -> [String: Double] {
        let name = request.array ?? "hidden/final"
        let shard = try CacheReader(directory: request.origin).shard(0)
        let shape = try shard.stored(name)
        var values = [UInt8](repeating: 0, count: shape.rows * shape.rowBytes)
        try values.withUnsafeMutableBytes {
            try shard.readStored(name, rows: 0..<shape.rows, into: $0)
        }
        let file = request.directory.appendingPathExtension("h5")
        defer { try? FileManager.default.removeItem(at: file) }
        let before = processorSeconds()
        let seconds = try elapsed {
            _ = try UnsafeArrayFile.write(
                values,
                type: shape.type,
                columns: shape.rowBytes / shape.type.size,
                compression: request.compression ?? .lz4,
                to: file
            )
        }
        let used = processorSeconds() - before
        return ["seconds": seconds, "cpu": used, "bytes": Double(values.count)]
    }

    private static func firstShard(of directory: URL) throws -> [CacheRecord] {
        let shard = try CacheReader(directory: directory).shard(0)
        return try (0..<shard.recordCount).map { try shard.record($0) }
    }

    /// Seconds until the disk has the bytes of `file`, written anew.
    private static func flushing(of file: URL) throws -> Double {
        let bytes = try Data(contentsOf: file)
        let copy = file.appendingPathExtension("copy")
        let descriptor = open(copy.path, O_RDWR | O_CREAT | O_TRUNC, 0o644)
        defer {
            close(descriptor)
            unlink(copy.path)
        }
        let written = bytes.withUnsafeBytes {
            Foundation.write(descriptor, $0.baseAddress, $0.count)
        }
        guard written == bytes.count else { return .nan }
        return elapsed { fsync(descriptor) }
    }
}

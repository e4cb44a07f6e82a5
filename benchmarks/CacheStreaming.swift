import Cache
import Foundation

/// Examples: in shuffled batches, and one by one.
extension CacheBench {
    /// An epoch of shuffled batches of about 8,192 tokens, or as much of it as fits into the time.
    func stream(_ request: CacheRequest) throws -> [String: Double] {
        let reader = try CacheReader(directory: request.directory)
        let description = reader.manifest.description
        let limit = request.seconds ?? .infinity
        let split = reader.manifest.splits.max { $0.value < $1.value }?.key ?? ""
        let stream = try CacheStream(
            reader: reader,
            split: split,
            seed: 1,
            window: request.window ?? 4096,
            batch: .tokens(8_192),
            reading: .init(memory: (request.memory ?? 512) << 20, threads: request.threads ?? 2)
        )
        var (examples, rows, tokens, batches) = (0, 0, 0, 0)
        var (first, waited) = (0.0, 0.0)
        let start = Date()
        let seconds = try elapsed {
            let iterator = try stream.batches(epoch: 0)
            while let batch = try iterator.next() {
                if batches == 0 { first = Date().timeIntervalSince(start) }
                examples += batch.records.count
                rows += batch.rows
                tokens += batch.tokens
                batches += 1
                if Date().timeIntervalSince(start) > limit { break }
            }
            waited = iterator.waited
        }
        let rowBytes =
            description.teacher.hiddenSize * description.signals.hiddenType.bytes
            + 6 * description.topK + 4
        return [
            "seconds": seconds, "examples": Double(examples), "rows": Double(rows),
            "bytes": Double(rows * rowBytes + 4 * tokens), "batches": Double(batches),
            "first": first, "waited": waited, "all": Double(stream.exampleCount),
            "peak": Double(peakResidentBytes()),
        ]
    }

    /// Opening the cache, the first use of every shard, and random examples one after another.
    func random(_ request: CacheRequest) throws -> [String: Double] {
        var opened: CacheReader?
        let open = try elapsed { opened = try CacheReader(directory: request.directory) }
        guard let reader = opened else { return [:] }
        let touches = try (0..<reader.shardCount).map { index in
            try elapsed { _ = try reader.shard(index) }
        }
        var generator = SystemRandomNumberGenerator()
        let sizes = reader.manifest.shards.map(\.records)
        var rows = 0
        let times = try (0..<(request.count ?? 2_000)).map { _ in
            let shard = Int.random(in: 0..<sizes.count, using: &generator)
            let number = Int.random(in: 0..<sizes[shard], using: &generator)
            return try elapsed { rows += try reader.shard(shard).record(number).rows }
        }
        return [
            "open": open, "touch": quantile(touches, 0.5), "touch_worst": touches.max() ?? 0,
            "median": quantile(times, 0.5), "p99": quantile(times, 0.99),
            "worst": times.max() ?? 0, "examples": Double(sizes.reduce(0, +)),
            "shards": Double(sizes.count), "rows": Double(rows) / Double(times.count),
        ]
    }
}

private func quantile(_ values: [Double], _ share: Double) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
}

extension CacheSignals.HiddenType {
    fileprivate var bytes: Int {
        switch self {
        case .int8: 1
        case .bf16, .f16: 2
        case .f32: 4
        }
    }
}

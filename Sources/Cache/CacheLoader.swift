import Foundation

/// Reads the examples that some steps of a stream need, on several threads.
final class CacheLoader: Sendable {
    /// Examples of the split in each shard.
    let sizes: [Int]
    /// Bytes of examples that are read in one go.
    let budget: Int

    private let reader: CacheReader
    private let split: String
    private let threads: Int
    private let hidden: Bool
    private let logits: Bool
    private let extra: ExtraSignals
    private let tables: TableCache

    init(
        reader: CacheReader,
        split: String,
        reading: CacheStream.Reading,
        hidden: Bool,
        logits: Bool,
        extra: ExtraSignals
    ) {
        self.reader = reader
        self.split = split
        self.threads = reading.threads
        self.hidden = hidden
        self.logits = logits
        self.extra = extra
        sizes = reader.manifest.shards.map { $0.splits[split] ?? 0 }
        // One load is read while the one before is used, and an eighth of the memory is for unpacked
        // chunks; the rest is what open shards and the allocator take.
        budget = max(1, reading.memory / 3)
        reader.chunks.keep(atMost: reading.memory / 8)
        tables = TableCache()
    }

    /// Tokens of an example.
    func length(_ place: CacheOrder.Place) throws -> Int {
        try table(of: place.shard).lengths(place.ordinal)
    }

    /// About how many bytes these examples take in memory.
    func bytes(_ places: [CacheOrder.Place]) throws -> Int {
        let perRow = Self.bytesPerRow(reader.manifest.description, hidden, logits, extra)
        return try places.reduce(0) { sum, place in
            let table = try table(of: place.shard)
            let tokens = table.lengths(place.ordinal)
            let rows = extra.allPositions ? tokens : table.rows(place.ordinal)
            // Texts are about four bytes a token; the rest is what Swift needs to keep arrays.
            return sum + rows * perRow + tokens * 8 + 512
        }
    }

    /// Examples that are shuffled among each other unless said otherwise: as many as take 256 MiB on
    /// average, 256 to 4,096, by the manifest alone.
    static func window(
        _ manifest: CacheManifest,
        hidden: Bool,
        logits: Bool,
        extra: ExtraSignals
    ) -> Int {
        let perRow = bytesPerRow(manifest.description, hidden, logits, extra)
        // In floating point: a stranger's manifest may have counts whose product is beyond an integer.
        let total = manifest.shards.reduce(0.0) {
            $0 + Double($1.rows) * Double(perRow) + Double($1.tokens) * 8
        }
        let records = manifest.shards.reduce(0.0) { $0 + Double($1.records) }
        return min(4096, max(256, Int(Double(256 << 20) * records / max(1, total))))
    }

    private static func bytesPerRow(
        _ description: CacheDescription,
        _ hidden: Bool,
        _ logits: Bool,
        _ extra: ExtraSignals
    ) -> Int {
        let teacher = description.teacher
        var perRow = 4 * teacher.hiddenSize * extra.hiddenLayers.count
        if hidden { perRow += 4 * teacher.hiddenSize }
        if logits { perRow += 8 * description.topK + 4 }
        if extra.samples { perRow += 6 * description.signals.samples }
        if extra.fullLogits { perRow += 4 * teacher.vocabularySize }
        return perRow
    }

    /// The batches of some steps, which are read together.
    func batches(_ steps: [CacheStream.Step]) throws -> [CacheBatch] {
        // Neighbours lie in the same chunks: in the order of the file each is unpacked once.
        let wanted = steps.flatMap(\.places).sorted {
            ($0.shard, $0.ordinal) < ($1.shard, $1.ordinal)
        }
        let runs = Self.runs(of: wanted)
        let results = Results(count: wanted.count)
        let next = Counter()
        DispatchQueue.concurrentPerform(iterations: min(threads, runs.count)) { _ in
            while let run = next.take(below: runs.count), !results.hasFailed {
                do {
                    let table = try self.table(of: wanted[runs[run].lowerBound].shard)
                    for i in runs[run] {
                        let record = try table.reader.record(
                            table.numbers[wanted[i].ordinal],
                            hidden: self.hidden,
                            logits: self.logits,
                            extra: self.extra
                        )
                        results.put(record, at: i)
                    }
                } catch {
                    results.fail(error)
                }
            }
        }
        var records = try results.take()
        var index: [Int: Int] = [:]
        for (i, place) in wanted.enumerated() { index[place.shard << 40 | place.ordinal] = i }
        return steps.map { step in
            CacheBatch(
                epoch: step.next.epoch,
                index: step.next.batch - 1,
                records: step.places.compactMap { place in
                    index[place.shard << 40 | place.ordinal].flatMap { i in
                        defer { records[i] = nil }
                        return records[i]
                    }
                },
                next: step.next
            )
        }
    }

    /// Runs of examples for one thread to read: of one shard, and not too many.
    private static func runs(of places: [CacheOrder.Place]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        var start = 0
        for i in places.indices {
            let isLast = i + 1 == places.count
            if isLast || places[i + 1].shard != places[start].shard
                || (i + 1 - start >= CacheOrder.blockExamples
                    && places[i + 1].ordinal != places[i].ordinal + 1)
                || i + 1 - start >= 8 * CacheOrder.blockExamples
            {
                runs.append(start..<i + 1)
                start = i + 1
            }
        }
        return runs
    }

    /// An open shard, and which of its examples are of the split.
    struct Table: Sendable {
        let reader: ShardReader
        let numbers: [Int]

        func lengths(_ ordinal: Int) -> Int { reader.lengths[numbers[ordinal]] }
        func rows(_ ordinal: Int) -> Int { reader.rowCounts[numbers[ordinal]] }
    }

    private func table(of shard: Int) throws -> Table {
        try tables.table(shard) {
            let opened = try reader.shard(shard)
            let numbers = opened.splits.indices.filter { opened.splits[$0] == split }
            guard numbers.count == sizes[shard] else {
                throw CacheError.corrupt(
                    opened.path,
                    "\(numbers.count) '\(split)' examples, but the manifest says \(sizes[shard])"
                )
            }
            return Table(reader: opened, numbers: numbers)
        }
    }
}

/// The shards in use: those of two groups, since a window may lie across their border.
private final class TableCache: @unchecked Sendable {
    // Unchecked: used under `lock` only.
    private let lock = NSLock()
    private var tables: [(shard: Int, table: CacheLoader.Table)] = []

    func table(_ shard: Int, make: () throws -> CacheLoader.Table) throws -> CacheLoader.Table {
        lock.lock()
        defer { lock.unlock() }
        if let i = tables.firstIndex(where: { $0.shard == shard }) { return tables[i].table }
        let made = try make()
        if tables.count >= 2 * CacheOrder.shardsInUse { tables.removeFirst() }
        tables.append((shard, made))
        return made
    }
}

/// Numbers that several threads take one after another.
private final class Counter: @unchecked Sendable {
    // Unchecked: used under `lock` only.
    private let lock = NSLock()
    private var value = 0

    func take(below limit: Int) -> Int? {
        lock.withLock {
            guard value < limit else { return nil }
            defer { value += 1 }
            return value
        }
    }
}

/// Records that several threads put into their places.
private final class Results: @unchecked Sendable {
    // Unchecked: used under `lock` only.
    private let lock = NSLock()
    private var records: [CacheRecord?]
    private var error: (any Error)?

    init(count: Int) { records = Array(repeating: nil, count: count) }

    var hasFailed: Bool { lock.withLock { error != nil } }
    func put(_ record: CacheRecord, at index: Int) { lock.withLock { records[index] = record } }
    func fail(_ error: any Error) { lock.withLock { self.error = self.error ?? error } }

    func take() throws -> [CacheRecord?] {
        try lock.withLock {
            if let error { throw error }
            defer { records = [] }
            return records
        }
    }
}

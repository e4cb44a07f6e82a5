/// Finds in what two caches differ.
///
/// Beside the ids of one cache (20 bytes or so each) it holds one example of both at a time, and two
/// heads when the teachers' files differ.
public struct CacheComparer {
    /// Examples whose signals are compared unless all are asked for.
    public static let sampleSize = 256

    private let a: CacheReader
    private let b: CacheReader

    /// A comparison of two caches.
    public init(_ a: CacheReader, _ b: CacheReader) {
        (self.a, self.b) = (a, b)
    }

    /// What there is to say.
    ///
    /// Ids, splits, tokens and texts of all examples are compared.
    /// - Parameters:
    ///   - all: Compares the signals of all examples, not of `sampleSize` evenly spread ones.
    ///   - progress: Told how much of how much is done.
    ///   - shouldStop: Asked before each example.
    /// - Returns: nil when it was stopped.
    /// - Throws: `CacheError` for a damaged or missing file.
    public func compare(
        all: Bool,
        progress: (Int, Int) -> Void = { _, _ in },
        shouldStop: () -> Bool = { false }
    ) throws -> CacheDifference? {
        var result = CacheDifference()
        result.settings = settings
        result.examplesOfA = a.manifest.shards.reduce(0) { $0 + $1.records }
        result.examplesOfB = b.manifest.shards.reduce(0) { $0 + $1.records }
        guard var places = try places(shouldStop) else { return nil }
        var signals = SignalComparison(a.manifest.description, b.manifest.description)
        // Which of B's examples are in the sample depends on their number alone.
        let isSampled = Sample(all ? result.examplesOfB : Self.sampleSize, of: result.examplesOfB)
        var number = 0
        for shard in 0..<b.shardCount {
            let theirs = try b.shard(shard)
            for record in 0..<theirs.recordCount {
                if shouldStop() { return nil }
                number += 1
                progress(number, result.examplesOfB)
                let id = theirs.ids[record]
                guard let place = places.removeValue(forKey: Self.key(id)) else {
                    result.onlyInB.add(id)
                    continue
                }
                result.common += 1
                let mine = try a.shard(place.shard)
                let isChosen = isSampled[number - 1]
                if !isChosen { result.isComplete = false }
                try compare(
                    (mine, place.record),
                    (theirs, record),
                    isChosen ? signals.extra : nil,
                    &result,
                    &signals
                )
            }
        }
        for place in places.values.sorted(by: { ($0.shard, $0.record) < ($1.shard, $1.record) }) {
            result.onlyInA.add(try a.shard(place.shard).ids[place.record])
        }
        result.signals = signals.result
        if a.manifest.teacher.sha256 != b.manifest.teacher.sha256 {
            result.teacher = try teacher()
        }
        return result
    }

    private func compare(
        _ mine: (shard: ShardReader, record: Int),
        _ theirs: (shard: ShardReader, record: Int),
        _ extra: ExtraSignals?,
        _ result: inout CacheDifference,
        _ signals: inout SignalComparison
    ) throws {
        func read(_ place: (shard: ShardReader, record: Int)) throws -> CacheRecord {
            try place.shard.record(
                place.record,
                hidden: extra != nil,
                logits: extra != nil,
                extra: extra ?? ExtraSignals()
            )
        }
        let (x, y) = (try read(mine), try read(theirs))
        if x.split != y.split { result.otherSplits.add(x.id) }
        if (x.prompt, x.input, x.response) != (y.prompt, y.input, y.response) {
            result.otherTexts.add(x.id)
        }
        guard x.tokenIDs == y.tokenIDs, x.supervised == y.supervised else {
            result.otherTokens.add(x.id)
            return
        }
        guard extra != nil else { return }
        result.compared += 1
        signals.add(x, y)
    }

    /// Where each example of A is.
    private func places(_ shouldStop: () -> Bool) throws -> [UInt128: CacheReader.Place]? {
        var places: [UInt128: CacheReader.Place] = [:]
        for shard in 0..<a.shardCount {
            if shouldStop() { return nil }
            let reader = try a.shard(shard)
            for (record, id) in reader.ids.enumerated() {
                let place = CacheReader.Place(shard: shard, record: record)
                guard places.updateValue(place, forKey: Self.key(id)) == nil else {
                    throw CacheError.corrupt(reader.path, "example \(id) is in the cache twice")
                }
            }
        }
        return places
    }

    /// An id is 32 hex digits.
    private static func key(_ id: String) -> UInt128 { UInt128(id, radix: 16) ?? 0 }

    private var settings: [String] {
        var lines = a.manifest.description.differences(from: b.manifest.description)
        let (mine, theirs) = (a.manifest.counts, b.manifest.counts)
        for name in Set(mine.keys).union(theirs.keys).sorted() where mine[name] != theirs[name] {
            func text(_ count: Int?) -> String { count.map(String.init) ?? "none" }
            lines.append("count \(name): \(text(mine[name])) here, \(text(theirs[name])) there")
        }
        return lines
    }

    private func teacher() throws -> CacheDifference.Teacher {
        var result = CacheDifference.Teacher()
        let (mine, theirs) = (try a.tokenizerFiles(), try b.tokenizerFiles())
        result.tokenizerFiles = Set(mine.keys).union(theirs.keys).sorted().filter {
            mine[$0] != theirs[$0]
        }
        let scales = [try a.logitScale(), try b.logitScale()]
        if scales[0] != scales[1] { result.logitScales = scales }
        try compareEmbeddings(&result)
        var head = SignalSums(TeacherFormat.head)
        let (x, y) = (a.manifest.description.teacher, b.manifest.description.teacher)
        if x.hiddenSize == y.hiddenSize, x.vocabularySize == y.vocabularySize {
            head.add(
                rows: try a.teacherHead().values,
                try b.teacherHead().values,
                width: x.hiddenSize
            )
        } else {
            head = SignalSums(TeacherFormat.head, note: "not compared: of another shape")
        }
        result.tables.append(head.result)
        return result
    }

    private func compareEmbeddings(_ result: inout CacheDifference.Teacher) throws {
        let width = a.manifest.description.teacher.hiddenSize
        guard width == b.manifest.description.teacher.hiddenSize else { return }
        let (mine, theirs) = (try a.teacherEmbedding(), try b.teacherEmbedding())
        var sums = SignalSums(TeacherFormat.embeddingRows)
        var (i, j) = (0, 0)
        // Both are sorted.
        while i < mine.ids.count || j < theirs.ids.count {
            let x = i < mine.ids.count ? mine.ids[i] : .max
            let y = j < theirs.ids.count ? theirs.ids[j] : .max
            if x == y {
                sums.add(
                    rows: Array(mine.values[i * width..<(i + 1) * width]),
                    Array(theirs.values[j * width..<(j + 1) * width]),
                    width: width
                )
            } else {
                result.embeddingIDs += 1
            }
            if x <= y { i += 1 }
            if y <= x { j += 1 }
        }
        result.tables.append(sums.result)
    }
}

/// Evenly spread numbers.
private struct Sample {
    private let count: Int
    private let total: Int

    init(_ count: Int, of total: Int) {
        (self.count, self.total) = (min(count, total), total)
    }

    /// Whether `number` is chosen: `count` of those below `total` are, the first among them.
    subscript(number: Int) -> Bool {
        guard count < total else { return true }
        return number == 0 || number * count / total != (number - 1) * count / total
    }
}

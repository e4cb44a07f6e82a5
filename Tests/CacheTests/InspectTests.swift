import Foundation
import Testing

@testable import Cache

@Suite("Looking into a cache")
struct InspectTests {
    @Test("a histogram has the figures of the sorted numbers")
    func figures() {
        let numbers = (1...100).map { $0 } + [1_000]
        let histogram = Histogram(Dictionary(numbers.map { ($0, 1) }, uniquingKeysWith: +))
        #expect(histogram.count == 101 && histogram.minimum == 1 && histogram.maximum == 1_000)
        #expect(histogram.median == 51 && histogram.p95 == 96)
        #expect(histogram.bins.map(\.count).reduce(0, +) == 101)
        #expect(histogram.bins.first == .init(from: 0, to: 99, count: 99))
        #expect(histogram.bins.last == .init(from: 1_000, to: 1_099, count: 1))
        let lines = histogram.lines("tokens", width: 10)
        #expect(lines[0] == "tokens: median 51, p95 96, max 1000, min 1, mean 59.9")
        #expect(lines[1] == "       0-99  ########## 99")
        #expect(lines.last == "  1000-1099  # 1")
    }

    @Test("a histogram of nothing, and of one number many times")
    func edges() {
        #expect(Histogram([:]).lines("tokens") == ["tokens: none"])
        let same = Histogram([7: 1_000_000])
        #expect(
            same.median == 7 && same.p95 == 7
                && same.bins == [.init(from: 7, to: 7, count: 1_000_000)]
        )
        #expect(Histogram([0: 3]).bins == [.init(from: 0, to: 0, count: 3)])
        #expect(Histogram([1 << 24: 1, 0: 1]).bins.count <= 11)
    }

    @Test("lengths come from some shards or all, and the examples are found by number and id")
    func lengths() throws {
        let scratch = try Scratch()
        let sample = SampleCache(shardSizes: [3, 1, 4, 2])
        try sample.write(to: scratch.url)
        let reader = try CacheReader(directory: scratch.url)
        let records = sample.allRecords
        let all = try #require(try CacheLengths.read(reader, shards: nil))
        #expect(all.tokens.count == 10 && all.shardsRead == 4)
        #expect(all.tokens.maximum == records.map(\.tokenIDs.count).max())
        #expect(all.rows.maximum == records.map(\.rows).max())
        let some = try #require(try CacheLengths.read(reader, shards: 2))
        #expect(some.tokens.count == 7 && some.shardsRead == 2 && some.shards == 4)
        #expect(some.table.contains("2 of 4 shards"))
        #expect(try CacheLengths.read(reader, shards: 2, shouldStop: { true }) == nil)
        for (number, record) in records.enumerated() {
            let place = try #require(reader.place(ofExample: number))
            #expect(try reader.shard(place.shard).ids[place.record] == record.id)
            #expect(try reader.place(ofID: record.id) == place)
        }
        #expect(reader.place(ofExample: 10) == nil && reader.place(ofExample: -1) == nil)
        #expect(try reader.place(ofID: String(repeating: "f", count: 32)) == nil)
    }

    @Test("with rows at all positions, rows are tokens")
    func allPositions() throws {
        let scratch = try Scratch()
        try SignalSample(CacheSignals(positions: .all)).write(to: scratch.url)
        let lengths = try CacheLengths.read(CacheReader(directory: scratch.url), shards: nil)
        #expect(lengths?.rows == lengths?.tokens)
    }

    @Test("text for a terminal moves no cursor and turns no line around")
    func escapes() throws {
        let text = "a\u{1B}[2J\u{202E}b\n\u{9B}c\u{2028}\u{E0041}\u{200B}é🙂👨‍👩‍👧"
        let safe = DisplayText.escaped(text)
        #expect(
            safe == "a\\u{1B}[2J\\u{202E}b\\n\\u{9B}c\\u{2028}\\u{E0041}\\u{200B}é🙂👨‍👩‍👧"
        )
        #expect(DisplayText.escaped("a\nb", keepsLines: true) == "a\nb")
        #expect(DisplayText.shortened("abcdef", to: 3) == "abc … (6 characters)")
        #expect(DisplayText.shortened("abc", to: 3) == "abc")
        let json = DisplayText.json(
            String(decoding: try JSONEncoder().encode(["k": text]), as: UTF8.self)
        )
        #expect(json.unicodeScalars.allSatisfy { !DisplayText.isUnsafe($0) })
        let back = try JSONDecoder().decode([String: String].self, from: Data(json.utf8))
        #expect(back == ["k": text])
    }

    @Test("a summary's table escapes a stranger's names")
    func strangersNames() throws {
        let scratch = try Scratch()
        try SampleCache().write(to: scratch.url)
        var manifest = try CacheManifest.read(scratch.url)
        manifest.description.teacher.name = "\u{1B}]0;owned\u{7}"
        manifest.counts["\u{202E}"] = 1
        let table = CacheSummary(manifest).table
        #expect(
            !table.contains("\u{1B}") && !table.contains("\u{202E}") && !table.contains("\u{7}")
        )
    }
}

import Foundation
import Testing

@testable import Cache

@Suite("Streaming")
struct StreamTests {
    private let sample = SampleCache(shardSizes: [13, 7, 20, 1, 9], width: 8, longest: 24)

    private func batches(
        _ reader: CacheReader,
        seed: UInt64 = 5,
        epoch: Int = 0,
        from start: Int = 0,
        window: Int = 16,
        size: CacheStream.BatchSize = .examples(4),
        rank: CacheStream.Rank = .init(),
        reading: CacheStream.Reading = .init()
    ) throws -> [CacheBatch] {
        let stream = try CacheStream(
            reader: reader,
            split: "train",
            seed: seed,
            window: window,
            batch: size,
            rank: rank,
            reading: reading
        )
        let iterator = try stream.batches(epoch: epoch, startingAt: start)
        var result: [CacheBatch] = []
        while let batch = try iterator.next() { result.append(batch) }
        #expect(try stream.batchCount(epoch: epoch) == result.count + start)
        return result
    }

    private func makeReader(_ scratch: Scratch) throws -> CacheReader {
        try sample.write(to: scratch.url)
        return try CacheReader(directory: scratch.url)
    }

    @Test(
        "an epoch holds every example of the split once, whatever the window",
        arguments: [1, 3, 16, 1000]
    )
    func complete(window: Int) throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        let train = sample.allRecords.filter { $0.split == "train" }
        for size in [CacheStream.BatchSize.examples(4), .tokens(50), .tokens(1)] {
            let all = try batches(reader, window: window, size: size)
            let records = all.flatMap(\.records)
            #expect(records.sorted { $0.id < $1.id } == train)
            #expect(all.map(\.index) == Array(all.indices))
            if size == .tokens(50) { #expect(all.allSatisfy { $0.tokens <= 50 }) }
            if size == .tokens(1) { #expect(all.allSatisfy { $0.records.count == 1 }) }
        }
    }

    @Test("the order depends on seed and epoch only")
    func deterministic() throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        let first = try batches(reader)
        #expect(try batches(CacheReader(directory: scratch.url)) == first)
        func order(_ batches: [CacheBatch]) -> [String] { batches.flatMap(\.records).map(\.id) }
        #expect(try order(batches(reader, epoch: 1)) != order(first))
        #expect(try order(batches(reader, seed: 6)) != order(first))
    }

    @Test("a stream taken up at any batch gives the same batches", arguments: [0, 1, 5, 8, 9, 100])
    func resume(start: Int) throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        for size in [CacheStream.BatchSize.examples(4), .tokens(60)] {
            let all = try batches(reader, epoch: 3, size: size)
            let stream = try CacheStream(
                reader: reader,
                split: "train",
                seed: 5,
                window: 16,
                batch: size
            )
            let iterator = try stream.batches(epoch: 3, startingAt: start)
            for batch in all.dropFirst(start) { #expect(try iterator.next() == batch) }
            #expect(try iterator.next() == nil)
            // By the small state that a batch has, nothing before it is looked at.
            guard start > 0, start <= all.count else { continue }
            let later = stream.batches(from: all[start - 1].next)
            for batch in all.dropFirst(start) { #expect(try later.next() == batch) }
            #expect(try later.next() == nil)
        }
    }

    @Test("neither memory nor threads change the sequence")
    func reading() throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        let usual = try batches(reader, size: .tokens(60))
        for (memory, threads) in [(1, 1), (4000, 3), (40_000, 2)] {
            let reading = CacheStream.Reading(memory: memory, threads: threads)
            #expect(try batches(reader, size: .tokens(60), reading: reading) == usual)
        }
    }

    @Test("ranks take what one would take together, and as many steps each", arguments: [2, 3, 4])
    func ranks(count: Int) throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        let whole = try batches(reader, size: .examples(2 * count))
        for size in [CacheStream.BatchSize.examples(2), .tokens(50)] {
            let parts = try (0..<count).map {
                try batches(reader, size: size, rank: .init($0, of: count))
            }
            let steps = parts[0].count
            #expect(steps > 0 && parts.allSatisfy { $0.count == steps })
            let ids = parts.flatMap { $0 }.flatMap(\.records).map(\.id)
            #expect(Set(ids).count == ids.count)
            for step in 0..<steps {
                #expect(Set(parts.map { $0[step].next.example }).count == 1)
                guard case .examples = size else { continue }
                let together = parts.flatMap { $0[step].records }
                #expect(together == whole[step].records)
            }
        }
    }

    @Test("a reader that stops early leaves no thread waiting, and damage reaches the reader")
    func ends() throws {
        let scratch = try Scratch()
        let reader = try makeReader(scratch)
        do {
            let stream = try CacheStream(
                reader: reader,
                split: "train",
                seed: 1,
                batch: .examples(1),
                reading: .init(memory: 1, threads: 1)
            )
            #expect(try stream.batches(epoch: 0).next() != nil)
        }
        let url = scratch.url.appendingPathComponent("shards/00002.h5")
        var bytes = try Data(contentsOf: url)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: url)
        let fresh = try CacheReader(directory: scratch.url)
        #expect(throws: CacheError.self) { _ = try batches(fresh) }
        let error = try #require(throws: CacheError.self) {
            try CacheStream(reader: reader, split: "test", seed: 1, batch: .examples(1))
        }
        #expect(error.remedy.contains("held_out, train"))
    }

    @Test("the order of a small epoch stays as it was when first released")
    func golden() {
        let order = CacheOrder(sizes: [3, 2, 4], seed: 1, epoch: 0, window: 4)
        let again = CacheOrder(sizes: [3, 2, 4], seed: 1, epoch: 0, window: 4)
        let places = (0..<order.windows).flatMap { order.places(ofWindow: $0) }
        #expect(places == (0..<again.windows).flatMap { again.places(ofWindow: $0) })
        #expect(places.map { "\($0.shard).\($0.ordinal)" } == Self.firstOrder)
    }

    @Test("a window mixes shards, shards in use are few, and each example comes once")
    func mixing() {
        let sizes = (0..<40).map { 100 + $0 }
        let order = CacheOrder(sizes: sizes, seed: 3, epoch: 2, window: 500)
        var seen: Set<[Int]> = []
        for window in 0..<order.windows {
            let places = order.places(ofWindow: window)
            for place in places { seen.insert([place.shard, place.ordinal]) }
            let shards = Set(places.map(\.shard)).count
            #expect(shards <= 2 * CacheOrder.shardsInUse)
            if window < 3 { #expect(shards >= 8) }
        }
        #expect(seen.count == sizes.reduce(0, +) && order.count == seen.count)
        #expect(seen.allSatisfy { $0[1] < sizes[$0[0]] })
    }

    private static let firstOrder = [
        "2.1", "2.0", "2.3", "2.2", "0.1", "0.0", "1.0", "1.1", "0.2",
    ]
}

import Testing

@testable import Tokenizers

@Suite("WordMerger")
struct WordMergerTests {
    /// All merges over a few symbols, in an order made up by a seed.
    private func table(seed: UInt64) -> PairTable {
        var table = PairTable(capacity: 8)
        var state = seed
        func next() -> UInt32 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt32(state >> 33)
        }
        var rank: UInt64 = 0
        for id in 4..<200 {
            let left = next() % UInt32(id)
            let right = next() % UInt32(id)
            if table.insert(left, right, rank << 32 | UInt64(id)) { rank += 1 }
        }
        return table
    }

    /// Merging as it is defined, with no thought of time.
    private func naive(_ word: [UInt32], _ merges: PairTable) -> [UInt32] {
        var word = word
        while word.count > 1 {
            let values = (0..<word.count - 1).map { merges.value(word[$0], word[$0 + 1]) }
            guard let best = values.min(), best != PairTable.absent,
                let place = values.firstIndex(of: best)
            else { break }
            word.replaceSubrange(place...place + 1, with: [UInt32(truncatingIfNeeded: best)])
        }
        return word
    }

    @Test("scan and heap agree with the definition", arguments: 1...20)
    func agreement(seed: UInt64) {
        let merges = table(seed: seed)
        var merger = WordMerger()
        var state = seed
        for length in [1, 2, 3, 7, 47, 48, 49, 50, 64, 200] {
            var word: [UInt32] = []
            for _ in 0..<length {
                state = state &* 6_364_136_223_846_793_005 &+ 1
                word.append(UInt32(state >> 62))
            }
            var out: [UInt32] = []
            merger.begin()
            for symbol in word { merger.add(symbol) }
            merger.finish(merges: merges, into: &out)
            #expect(out == naive(word, merges))
        }
    }

    @Test("a megabyte without a space is no problem")
    func longWord() throws {
        let tokenizer = try Fixtures.tokenizer("gpt-2")
        let text = String(repeating: "water", count: 200_000)
        #expect(tokenizer.decode(try tokenizer.encode(text)) == text)
        let spaces = String(repeating: " ", count: 500_000)
        #expect(tokenizer.decode(try tokenizer.encode(spaces)) == spaces)
    }

    @Test("a heap gives its elements in order")
    func heap() {
        var heap = MinHeap<Int>()
        let items = (0..<500).map { $0 * 7_919 % 501 }
        for item in items { heap.push(item) }
        var out: [Int] = []
        while let item = heap.pop() { out.append(item) }
        #expect(out == items.sorted())
    }
}

/// Finds merges by counts of pairs that are kept up to date as words change.
struct PairLearner {
    struct Pair: Hashable {
        var left: Int
        var right: Int
    }

    /// A pair and how often it stood in the texts when this was made.
    private struct Candidate: Comparable {
        var count: Int
        var pair: Pair

        /// The heap gives the smallest first: the highest count, then the smallest ids.
        static func < (first: Candidate, second: Candidate) -> Bool {
            if first.count != second.count { return first.count > second.count }
            if first.pair.left != second.pair.left { return first.pair.left < second.pair.left }
            return first.pair.right < second.pair.right
        }
    }

    private struct Word {
        var symbols: [Int]
        var count: Int
    }

    /// Every token's text, by id.
    private(set) var pieces: [String]
    private var words: [Word] = []
    private var counts: [Pair: Int] = [:]
    /// The words in which a pair was ever seen; some may have lost it since.
    private var places: [Pair: Set<Int32>] = [:]
    private var heap = MinHeap<Candidate>()
    private var ids: [String: Int] = [:]
    private let specials: Set<String>

    /// - Parameter pieces: The special tokens, then the 256 byte characters.
    init(pieces: [String], specialCount: Int, words counts: [[UInt8]: Int]) {
        self.pieces = pieces
        specials = Set(pieces.prefix(specialCount))
        for (id, piece) in pieces.enumerated() { ids[piece] = id }
        let byteIDs = ByteAlphabet.scalars.map { ids[String($0)] ?? 0 }
        // Special tokens are no words' text, so a merge must never come out as one.
        for piece in pieces.prefix(specialCount) { ids[piece] = nil }
        for (bytes, count) in counts where bytes.count > 1 {
            words.append(Word(symbols: bytes.map { byteIDs[Int($0)] }, count: count))
        }
        for (index, word) in words.enumerated() {
            for (left, right) in zip(word.symbols, word.symbols.dropFirst()) {
                let pair = Pair(left: left, right: right)
                self.counts[pair, default: 0] += word.count
                places[pair, default: []].insert(Int32(index))
            }
        }
        for (pair, count) in self.counts { heap.push(Candidate(count: count, pair: pair)) }
    }

    /// Merges until there are `size` pieces or no pairs left.
    mutating func learn(until size: Int) -> [Pair] {
        var merges: [Pair] = []
        var done = Set<Pair>()
        while pieces.count < size, let top = heap.pop() {
            let current = counts[top.pair] ?? 0
            guard current > 0 else { continue }
            guard current == top.count else {
                // The count has fallen since; it waits its turn at what it is now.
                heap.push(Candidate(count: current, pair: top.pair))
                continue
            }
            let text = pieces[top.pair.left] + pieces[top.pair.right]
            let id = ids[text] ?? pieces.count
            if id == pieces.count {
                // A piece that reads like a special token would make one of two things. (The
                // reference gives such a piece the special token's id.)
                if specials.contains(text) { continue }
                pieces.append(text)
                ids[text] = id
            }
            if done.insert(top.pair).inserted { merges.append(top.pair) }
            merge(top.pair, into: id)
        }
        return merges
    }

    private mutating func merge(_ pair: Pair, into id: Int) {
        var grown = Set<Pair>()
        for index in places.removeValue(forKey: pair) ?? [] {
            merge(pair, into: id, word: Int(index), grown: &grown)
        }
        counts[pair] = nil
        for pair in grown {
            guard let count = counts[pair], count > 0 else { continue }
            heap.push(Candidate(count: count, pair: pair))
        }
    }

    private mutating func merge(
        _ pair: Pair,
        into id: Int,
        word index: Int,
        grown: inout Set<Pair>
    ) {
        let weight = words[index].count
        let old = words[index].symbols
        var new: [Int] = []
        new.reserveCapacity(old.count)
        var at = 0
        while at < old.count {
            guard at + 1 < old.count, old[at] == pair.left, old[at + 1] == pair.right else {
                new.append(old[at])
                at += 1
                continue
            }
            if let before = new.last {
                counts[Pair(left: before, right: pair.left), default: 0] -= weight
                add(Pair(left: before, right: id), weight, index, &grown)
            }
            new.append(id)
            at += 2
            if at < old.count {
                counts[Pair(left: pair.right, right: old[at]), default: 0] -= weight
                add(Pair(left: id, right: old[at]), weight, index, &grown)
            }
        }
        words[index].symbols = new
    }

    private mutating func add(
        _ pair: Pair,
        _ weight: Int,
        _ index: Int,
        _ grown: inout Set<Pair>
    ) {
        counts[pair, default: 0] += weight
        places[pair, default: []].insert(Int32(index))
        grown.insert(pair)
    }
}

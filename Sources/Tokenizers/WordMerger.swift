/// Byte-pair merging of one word at a time, with the memory for it.
///
/// The pair of lowest rank merges first, the leftmost among equals. Short words scan their few pairs;
/// long ones (runs of spaces, a stranger's megabyte without one) use a heap, so that the time is
/// O(n log n) and not O(n²).
///
/// There is no cache of words: the whole of encoding runs at about 10 MB a second on one core without,
/// three times the reference's speed, and a cache would have to be bounded and locked.
struct WordMerger {
    /// Below this many symbols the scan wins.
    static let scanLimit = 48

    private var symbols: [UInt32] = []
    /// (rank << 32 | merged id) of the pair that starts at each symbol.
    private var pairs: [UInt64] = []
    private var previous: [Int32] = []
    private var following: [Int32] = []
    private var heap = MinHeap<UInt64>()

    /// Starts a new word.
    mutating func begin() { symbols.removeAll(keepingCapacity: true) }

    mutating func add(_ symbol: UInt32) { symbols.append(symbol) }

    /// Merges the word's symbols and appends what remains to `out`.
    mutating func finish(merges: borrowing PairTable, into out: inout [UInt32]) {
        if symbols.count <= Self.scanLimit {
            scan(merges: merges)
            out.append(contentsOf: symbols)
        } else {
            mergeByHeap(merges: merges, into: &out)
        }
    }

    private mutating func scan(merges: borrowing PairTable) {
        var count = symbols.count
        guard count > 1 else { return }
        pairs.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 {
            pairs.append(merges.value(symbols[index], symbols[index + 1]))
        }
        while count > 1 {
            var best = PairTable.absent
            var place = 0
            for index in 0..<count - 1 where pairs[index] < best {
                best = pairs[index]
                place = index
            }
            if best == PairTable.absent { break }
            symbols[place] = UInt32(truncatingIfNeeded: best)
            symbols.remove(at: place + 1)
            pairs.remove(at: place)
            count -= 1
            if place > 0 {
                pairs[place - 1] = merges.value(symbols[place - 1], symbols[place])
            }
            if place + 1 < count {
                pairs[place] = merges.value(symbols[place], symbols[place + 1])
            }
        }
    }

    private mutating func mergeByHeap(merges: borrowing PairTable, into out: inout [UInt32]) {
        let count = symbols.count
        pairs = [UInt64](repeating: PairTable.absent, count: count)
        previous = (0..<count).map { Int32($0) - 1 }
        following = (0..<count).map { $0 + 1 < count ? Int32($0) + 1 : -1 }
        heap.removeAll()
        // A heap entry is (rank << 32 | position); it is stale when the pair there has changed.
        func push(_ heap: inout MinHeap<UInt64>, _ value: UInt64, _ position: Int) {
            guard value != PairTable.absent else { return }
            heap.push(value & 0xFFFF_FFFF_0000_0000 | UInt64(position))
        }
        for index in 0..<count - 1 {
            pairs[index] = merges.value(symbols[index], symbols[index + 1])
            push(&heap, pairs[index], index)
        }
        while let top = heap.pop() {
            let place = Int(top & 0xFFFF_FFFF)
            let value = pairs[place]
            guard value != PairTable.absent, value >> 32 == top >> 32 else { continue }
            let right = Int(following[place])
            symbols[place] = UInt32(truncatingIfNeeded: value)
            pairs[right] = PairTable.absent
            let after = Int(following[right])
            following[place] = Int32(after)
            pairs[place] = PairTable.absent
            if after >= 0 {
                previous[after] = Int32(place)
                pairs[place] = merges.value(symbols[place], symbols[after])
                push(&heap, pairs[place], place)
            }
            let before = Int(previous[place])
            if before >= 0 {
                pairs[before] = merges.value(symbols[before], symbols[place])
                push(&heap, pairs[before], before)
            }
        }
        var index = 0
        while index >= 0 {
            out.append(symbols[index])
            index = Int(following[index])
        }
    }
}

/// A binary heap whose smallest element comes out first.
struct MinHeap<Element: Comparable> {
    private var items: [Element] = []

    mutating func removeAll() { items.removeAll(keepingCapacity: true) }

    mutating func push(_ item: Element) {
        var index = items.count
        items.append(item)
        while index > 0 {
            let parent = (index - 1) / 2
            guard item < items[parent] else { break }
            items[index] = items[parent]
            index = parent
        }
        items[index] = item
    }

    mutating func pop() -> Element? {
        guard let top = items.first, let last = items.popLast() else { return nil }
        guard !items.isEmpty else { return top }
        var index = 0
        while true {
            var child = 2 * index + 1
            guard child < items.count else { break }
            if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
            guard items[child] < last else { break }
            items[index] = items[child]
            index = child
        }
        items[index] = last
        return top
    }
}

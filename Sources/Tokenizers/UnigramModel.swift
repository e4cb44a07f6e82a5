/// Pieces with probabilities: a text becomes the pieces whose product is the most probable.
///
/// SentencePiece's Unigram model (Kudo 2018) with the reference's rules: of equally probable ways the
/// one found first stays, and a character without a piece counts ten nats less than the least
/// probable piece.
struct UnigramModel: Sendable {
    static let unknownPenalty = 10.0
    /// Longer pieces are refused: a text of one letter takes its length times this.
    static let pieceLimit = 4_096

    private let scores: [Double]
    private let unknownScore: Double
    private let unknown: UInt32?
    /// (node, byte) -> next node; node 0 is the root.
    private var edges: PairTable
    /// The id of the piece that ends at a node.
    private var ends: [UInt32] = [.max]

    /// - Parameter entries: Each piece with its id; `scores` are in the same order.
    init(
        _ entries: [(piece: String, id: Int)],
        scores: [Double],
        unknown: UInt32?,
        path: String
    ) throws(TokenizerError) {
        func fail(_ reason: String) -> TokenizerError {
            .malformed(path: path, place: "model.vocab", reason: reason)
        }
        guard scores.count == entries.count else {
            throw fail("\(scores.count) scores for \(entries.count) pieces")
        }
        edges = PairTable(capacity: entries.count * 3)
        // The vocabulary's ids are checked and dense by now.
        var byID = [Double](repeating: 0, count: 1 + (entries.map(\.id).max() ?? 0))
        var lowest = Double.infinity
        for (entry, score) in zip(entries, scores) {
            guard score.isFinite else {
                throw fail("the score of \(TokenizerError.shortened(entry.piece)) is not finite")
            }
            guard entry.piece.utf8.count <= Self.pieceLimit else {
                throw fail("a piece is longer than \(Self.pieceLimit) bytes")
            }
            lowest = min(lowest, score)
            byID[entry.id] = score
            var node = 0
            for byte in entry.piece.utf8 {
                let next = edges.value(UInt32(node), UInt32(byte))
                if next != PairTable.absent {
                    node = Int(next)
                } else {
                    _ = edges.insert(UInt32(node), UInt32(byte), UInt64(ends.count))
                    node = ends.count
                    ends.append(.max)
                }
            }
            ends[node] = UInt32(entry.id)
        }
        self.scores = byID
        unknownScore = lowest - Self.unknownPenalty
        self.unknown = unknown
    }

    /// Memory used again from word to word.
    struct Lattice {
        fileprivate var scores: [Double] = []
        fileprivate var starts: [Int32] = []
        fileprivate var ids: [UInt32] = []
        fileprivate var path: [Range<Int>] = []
    }

    /// Calls `body` with the pieces of `word`, runs of unknown characters as one.
    ///
    /// - Returns: False when a character has no piece and there is no unknown token.
    /// - Complexity: O(bytes x longest piece).
    func pieces(
        _ word: UnsafeBufferPointer<UInt8>,
        _ lattice: inout Lattice,
        _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) -> Bool {
        guard word.count < Int32.max, search(word, &lattice) else { return false }
        lattice.path.removeAll(keepingCapacity: true)
        var end = word.count
        var wasUnknown = false
        while end > 0 {
            let start = Int(lattice.starts[end])
            let isUnknown = lattice.ids[end] == unknown
            if isUnknown, wasUnknown, let last = lattice.path.popLast() {
                lattice.path.append(start..<last.upperBound)
            } else {
                lattice.path.append(start..<end)
            }
            wasUnknown = isUnknown
            end = start
        }
        for range in lattice.path.reversed() {
            body(UnsafeBufferPointer(rebasing: word[range]))
        }
        return true
    }

    private func search(_ word: UnsafeBufferPointer<UInt8>, _ lattice: inout Lattice) -> Bool {
        let count = word.count
        lattice.scores = [Double](repeating: 0, count: count + 1)
        lattice.starts = [Int32](repeating: -1, count: count + 1)
        lattice.ids = [UInt32](repeating: 0, count: count + 1)
        func offer(_ score: Double, _ id: UInt32, from start: Int, to end: Int) {
            guard lattice.starts[end] < 0 || score > lattice.scores[end] else { return }
            lattice.scores[end] = score
            lattice.starts[end] = Int32(start)
            lattice.ids[end] = id
        }
        var start = 0
        while start < count {
            let before = lattice.scores[start]
            var width = 1
            while start + width < count, word[start + width] & 0xC0 == 0x80 { width += 1 }
            var hasCharacter = false
            var node: UInt32 = 0
            for at in start..<count {
                let next = edges.value(node, UInt32(word[at]))
                if next == PairTable.absent { break }
                node = UInt32(truncatingIfNeeded: next)
                let id = ends[Int(node)]
                guard id != .max else { continue }
                offer(scores[Int(id)] + before, id, from: start, to: at + 1)
                if at + 1 - start == width { hasCharacter = true }
            }
            if !hasCharacter {
                guard let unknown else { return false }
                offer(unknownScore + before, unknown, from: start, to: start + width)
            }
            start += width
        }
        return true
    }
}

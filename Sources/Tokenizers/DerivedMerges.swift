/// The merges that a SentencePiece vocabulary implies: every way to put a piece together of two others.
///
/// SentencePiece merges the pair whose piece has the highest score. Ranked by score, these merges make
/// BPE do the same; where pieces tie, the order is that of transformers' converter, so that ids are the
/// same as with the `tokenizer.json` it writes.
struct DerivedMerges {
    private let pieces: [(piece: String, id: Int)]
    private let vocabulary: Vocabulary

    private struct Merge {
        let score: Float
        /// Characters of the two parts.
        let leftCount: Int, rightCount: Int
        let merged: Int, left: UInt32, right: UInt32
    }

    init(_ pieces: [(piece: String, id: Int)], path: String) throws(TokenizerError) {
        self.pieces = pieces
        vocabulary = try Vocabulary(pieces, path: path, place: "tokenizer.ggml.tokens")
    }

    /// - Parameter scores: By the order of the pieces; empty ranks by that order itself, the first best.
    func ranked(by scores: [Float]) -> [(left: String, right: String)] {
        var merges: [Merge] = []
        for (index, entry) in pieces.enumerated() {
            let score = scores.isEmpty ? 0 : scores[index]
            var piece = entry.piece
            piece.withUTF8 { add($0, id: entry.id, score: score, to: &merges) }
        }
        merges.sort(by: scores.isEmpty ? Self.byOrder : Self.byScore)
        return merges.map {
            (vocabulary.piece(Int($0.left)), vocabulary.piece(Int($0.right)))
        }
    }

    private func add(
        _ piece: UnsafeBufferPointer<UInt8>,
        id: Int,
        score: Float,
        to merges: inout [Merge]
    ) {
        func characters(_ range: Range<Int>) -> Int {
            piece[range].count { $0 & 0xC0 != 0x80 }
        }
        // Looking up both sides of every cut takes the square of the length.
        guard piece.count > 1, piece.count <= UnigramModel.pieceLimit else { return }
        for cut in 1..<piece.count where piece[cut] & 0xC0 != 0x80 {
            guard let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: piece[..<cut])),
                let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: piece[cut...]))
            else { continue }
            merges.append(
                Merge(
                    score: score,
                    leftCount: characters(0..<cut),
                    rightCount: characters(cut..<piece.count),
                    merged: id,
                    left: left,
                    right: right
                )
            )
        }
    }

    private static func byOrder(_ a: Merge, _ b: Merge) -> Bool {
        if a.merged != b.merged { return a.merged < b.merged }
        return a.leftCount > b.leftCount
    }

    private static func byScore(_ a: Merge, _ b: Merge) -> Bool {
        if a.score != b.score { return a.score > b.score }
        if a.leftCount != b.leftCount { return a.leftCount > b.leftCount }
        if a.rightCount != b.rightCount { return a.rightCount > b.rightCount }
        return a.merged < b.merged
    }
}

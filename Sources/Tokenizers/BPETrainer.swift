/// Learns a byte-level BPE vocabulary from texts.
///
/// The rules are those of Hugging Face's `BpeTrainer` with GPT-2's way of cutting words: the most
/// frequent pair is merged, of equally frequent ones that with the smallest ids. The same texts give
/// the same tokenizer, whatever their order.
public enum BPETrainer {
    /// Trains a tokenizer of exactly `vocabularySize` tokens, or fewer when the texts have no more pairs.
    ///
    /// Special tokens take the first ids, then the 256 bytes, then the merges as they are found. Special
    /// tokens written in the texts are learned from like other text.
    ///
    /// - Parameters:
    ///   - texts: The training texts; words do not cross from one to the next.
    ///   - vocabularySize: At least 256 and the special tokens.
    ///   - specialTokens: Texts that are always one token and stand for nothing.
    ///   - endOfSequence: The special token that ends a text; put first if `specialTokens` lacks it.
    /// - Throws: `TokenizerError.training` for a size too small or special tokens that are empty, stand
    ///   twice or are single bytes.
    /// - Complexity: Memory for each distinct word and pair; about a second per megabyte of text.
    public static func train(
        texts: some Sequence<String>,
        vocabularySize: Int,
        specialTokens: [String],
        endOfSequence: String
    ) throws -> Tokenizer {
        let specials =
            specialTokens.contains(endOfSequence)
            ? specialTokens : [endOfSequence] + specialTokens
        let pieces = try startingPieces(specials: specials, vocabularySize: vocabularySize)
        let step = try PreTokenizerStep.byteLevel(useRegex: true)
        let counts = try wordCounts(texts, PreTokenizer(steps: [step], keepsBytes: true))

        var learner = PairLearner(pieces: pieces, specialCount: specials.count, words: counts)
        let merges = learner.learn(until: vocabularySize)
        return try Tokenizer(
            TokenizerDefinition(
                path: "the trained tokenizer",
                vocabulary: learner.pieces.enumerated().map { ($0.element, $0.offset) },
                merges: merges.map { (learner.pieces[$0.left], learner.pieces[$0.right]) },
                added: specials.enumerated().map { AddedToken(id: $0.offset, content: $0.element) },
                steps: [step],
                endOfSequence: specials.firstIndex(of: endOfSequence)
            )
        )
    }

    private static func startingPieces(
        specials: [String],
        vocabularySize: Int
    ) throws(TokenizerError) -> [String] {
        let smallest = 256 + specials.count
        guard vocabularySize >= smallest, vocabularySize <= Vocabulary.idLimit else {
            throw .training(
                reason: "a vocabulary of \(vocabularySize) was asked for; 256 bytes and "
                    + "\(specials.count) special tokens need \(smallest) or more"
            )
        }
        // In order of code point, which is where the reference's ids for bytes come from.
        let alphabet = ByteAlphabet.scalars.sorted().map { String($0) }
        for (index, special) in specials.enumerated() {
            guard !special.isEmpty, !alphabet.contains(special),
                !specials[..<index].contains(special)
            else {
                throw .training(
                    reason: "the special token \(TokenizerError.shortened(special)) is empty, "
                        + "a single byte, or stands twice"
                )
            }
        }
        return specials + alphabet
    }

    private static func wordCounts(
        _ texts: some Sequence<String>,
        _ preTokenizer: PreTokenizer
    ) throws -> [[UInt8]: Int] {
        let matcher = try Pattern.Matcher()
        var counts: [[UInt8]: Int] = [:]
        for var text in texts {
            try text.withUTF8 { bytes in
                try preTokenizer.words(bytes, lead: 0, matcher) {
                    counts[Array($0), default: 0] += 1
                }
            }
        }
        return counts
    }
}

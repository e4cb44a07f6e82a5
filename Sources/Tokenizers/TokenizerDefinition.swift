/// What any source of a tokenizer (a directory, a GGUF file, training) says about it.
struct TokenizerDefinition {
    /// How the pieces of a word are chosen.
    enum Model: String, Sendable {
        /// Byte-pair merges, in order of rank.
        case bpe = "BPE"
        /// The most probable pieces together, by `scores`.
        case unigram = "Unigram"
    }

    /// Names the source in errors.
    var path: String
    var model = Model.bpe
    /// Pieces and ids; added tokens may be among them or not.
    var vocabulary: [(piece: String, id: Int)]
    /// Log-probabilities of a Unigram model, one for each entry of `vocabulary` and in its order.
    var scores: [Double] = []
    /// Pairs in order of rank; none in a Unigram model.
    var merges: [(left: String, right: String)]
    var added: [AddedToken] = []
    var normalizer = Normalizer.none
    var steps: [PreTokenizerStep]
    /// From pieces to text.
    ///
    /// Nil is the usual way: bytes where the last step is the byte-level one,
    /// else all pieces with spaces between.
    var decoders: [DecoderStep]?
    /// A character without a piece becomes its bytes, `<0x0A>` and the like, where these have ids.
    var byteFallback = false
    /// A word that is itself a piece is taken whole, whatever the merges would make of it.
    var ignoreMerges = false
    /// Stands for what has no piece; without it, it is left out by BPE and an error for Unigram.
    var unknown: String?
    /// A run of unknown characters becomes one token; in Unigram models always.
    var fuseUnknown = false
    /// Added around a text when special tokens are asked for.
    var prefix: [Int] = []
    var suffix: [Int] = []
    var endOfSequence: Int?
    var beginOfSequence: Int?
    var padding: Int?
}

import Tensors

/// One batch and two models as a file gives them to a criterion (docs/criterion-run.md): E examples, n rows
/// of the student and m of the teacher.
///
/// Everything that is there was checked: extents agree, numbers are finite, ids lie in their vocabulary.
/// What may be missing depends on the criterion, which asks for it by `require`.
public struct CriterionInput: Sendable {
    /// One model's rows of the batch, and its weights.
    public struct Side: Sendable {
        /// (n, width), after the final norm.
        public var hidden: Matrix?
        /// W, (V, width).
        public var head: Matrix?
        /// E, (V, width).
        public var embedding: Matrix?
        /// The token at each row, n.
        public var inputs: [UInt32]?
        /// The next token, n.
        public var labels: [UInt32]?
        /// Where each example starts, and at the end n.
        public var offsets: [Int]
        /// Cap of the head's logits.
        public var softCap: Float?

        /// Rows of the batch.
        public var count: Int { offsets.last ?? 0 }
    }

    /// What the teacher said, other than by its hidden states.
    public struct Signals: Sendable {
        /// Ids of the k likeliest tokens, m rows of k end to end, all of a row different.
        public var topKIDs: [UInt32]?
        /// Their log-probabilities at temperature 1, (m, k).
        public var topKLogProbs: Matrix?
        /// log sum exp of the teacher's logits, m.
        public var logSumExp: [Float]?
        /// Log-probabilities of all tokens at temperature 1, (m, V_t); -infinity for a probability of 0.
        public var fullLogProbs: Matrix?
        /// Where each row's drawn tokens start, and at the end their number.
        public var sampleOffsets: [Int]?
        /// Tokens drawn at temperature 1.
        public var sampleIDs: [UInt32]?
        /// How often each was drawn, at least once.
        public var sampleCounts: [UInt32]?
    }

    /// The texts of a model's tokens.
    public struct Vocabulary: Sendable {
        /// The text of each id; perhaps fewer than the head has rows.
        public var texts: [String]
        /// The token that ends a text, which has none itself.
        public var eos: UInt32?
    }

    /// A weight [out, in] or bias [out] of a projector.
    public struct ProjectorPart: Sendable {
        /// `[out, in]` or `[out]`.
        public var shape: [Int]
        /// The numbers; a bias is one row.
        public var value: Matrix
    }

    /// The file.
    public var path: String
    /// The student's rows and weights.
    public var student: Side
    /// The teacher's; nil where the file has nothing of it.
    public var teacher: Side?
    /// What else there is of the teacher.
    public var signals: Signals
    /// By name below `projectors/`: `t2s/weight`, `t2s/0/bias`, ….
    public var projectors: [String: ProjectorPart]
    /// The student's tokens.
    public var studentVocabulary: Vocabulary?
    /// The teacher's tokens.
    public var teacherVocabulary: Vocabulary?

    /// Numbers of its largest array.
    var largestArray: Int {
        let sides = [student, teacher].compactMap { $0 }
        let matrices =
            sides.flatMap { [$0.hidden, $0.head, $0.embedding] } + [signals.fullLogProbs]
            + projectors.values.map(\.value)
        return matrices.compactMap { $0?.count }.max() ?? 0
    }

    /// A value that the criterion cannot do without.
    ///
    /// - Throws: `CacheError.mismatch` naming the file and the array.
    public func require<T>(_ value: T?, _ name: String, for criterion: String) throws -> T {
        if let value { return value }
        let isEmbedding = name.hasSuffix("/embedding")
        throw CriterionFile.wrong(
            path,
            "\(criterion) needs '\(name)', which is not there",
            isEmbedding
                ? "Where it is the head as well: file['\(name)'] = "
                    + "file['\(name.replacing("/embedding", with: "/head"))']."
                : CriterionFile.layout
        )
    }
}

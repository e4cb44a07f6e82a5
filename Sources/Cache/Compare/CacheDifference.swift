/// In what two caches, A and B, differ.
public struct CacheDifference: Codable, Sendable, Equatable {
    /// Some examples by id: how many, and the first of them.
    public struct Examples: Codable, Sendable, Equatable {
        /// How many.
        public var count = 0
        /// The ids of the first, at most `shown`.
        public var first: [String] = []

        /// Ids that are kept.
        static let shown = 20

        mutating func add(_ id: String) {
            count += 1
            if first.count < Self.shown { first.append(id) }
        }
    }

    /// Whether a cache is made of what the other is made of: `teacher.h5`.
    public struct Teacher: Codable, Sendable, Equatable {
        /// Names of the tokenizer's files that differ, or are in one only.
        public var tokenizerFiles: [String] = []
        /// The factors of the logits, where they differ.
        public var logitScales: [Float] = []
        /// Ids of embedding rows that only one has.
        public var embeddingIDs = 0
        /// The head, the embedding rows that both have; those of equal files are not compared.
        public var tables: [Signal] = []

        var areEqual: Bool {
            tokenizerFiles.isEmpty && logitScales.isEmpty && embeddingIDs == 0
                && tables.allSatisfy(\.areEqual)
        }
    }

    /// How far one array is apart, over the rows that were compared.
    public struct Signal: Codable, Sendable, Equatable {
        /// The array, as a shard names it.
        public var name: String
        /// Why the array could not be compared, or what was left out.
        public var note: String?
        /// Rows compared.
        public var rows = 0
        /// Rows in which every value is the same.
        public var equalRows = 0
        /// Values compared.
        public var values = 0
        /// The largest absolute difference of two values.
        public var largest = 0.0
        /// The mean absolute difference.
        public var mean = 0.0
        /// Root of the squared differences over the root of A's squares.
        public var relative = 0.0

        /// False where it was not compared.
        var areEqual: Bool { rows == equalRows && note == nil }
    }

    /// The settings that differ, and the counts: `key: A's here, B's there`.
    public var settings: [String] = []
    /// Examples of A.
    public var examplesOfA = 0
    /// Examples of B.
    public var examplesOfB = 0
    /// Examples that only A has.
    public var onlyInA = Examples()
    /// Examples that only B has.
    public var onlyInB = Examples()
    /// Examples of both.
    public var common = 0
    /// Examples of both in which the tokens, or the supervised positions, differ.
    public var otherTokens = Examples()
    /// Examples of both in which prompt, input or response differ.
    public var otherTexts = Examples()
    /// Examples of both that are in different splits.
    public var otherSplits = Examples()
    /// Examples whose signals were compared: of those with the same tokens.
    public var compared = 0
    /// Whether the signals of all examples with the same tokens were compared, and not of a sample.
    public var isComplete = true
    /// The signals of either.
    public var signals: [Signal] = []
    /// What the teachers' files differ in.
    public var teacher = Teacher()

    /// Whether nothing was found that differs.
    public var areEqual: Bool {
        settings.isEmpty && teacher.areEqual && signals.allSatisfy(\.areEqual)
            && [onlyInA, onlyInB, otherTokens, otherTexts, otherSplits].allSatisfy { $0.count == 0 }
    }

    private enum CodingKeys: String, CodingKey {
        case settings, examplesOfA, examplesOfB, onlyInA, onlyInB, common, otherTokens, otherTexts
        case otherSplits, compared, isComplete, signals, teacher, areEqual
    }

    init() {}

    /// `areEqual` follows from the rest.
    public init(from decoder: any Decoder) throws {
        let c = try decoder.container(keyedBy: CodingKeys.self)
        settings = try c.decode([String].self, forKey: .settings)
        examplesOfA = try c.decode(Int.self, forKey: .examplesOfA)
        examplesOfB = try c.decode(Int.self, forKey: .examplesOfB)
        onlyInA = try c.decode(Examples.self, forKey: .onlyInA)
        onlyInB = try c.decode(Examples.self, forKey: .onlyInB)
        common = try c.decode(Int.self, forKey: .common)
        otherTokens = try c.decode(Examples.self, forKey: .otherTokens)
        otherTexts = try c.decode(Examples.self, forKey: .otherTexts)
        otherSplits = try c.decode(Examples.self, forKey: .otherSplits)
        compared = try c.decode(Int.self, forKey: .compared)
        isComplete = try c.decode(Bool.self, forKey: .isComplete)
        signals = try c.decode([Signal].self, forKey: .signals)
        teacher = try c.decode(Teacher.self, forKey: .teacher)
    }

    /// With `areEqual`, for scripts.
    public func encode(to encoder: any Encoder) throws {
        var c = encoder.container(keyedBy: CodingKeys.self)
        try c.encode(settings, forKey: .settings)
        try c.encode(examplesOfA, forKey: .examplesOfA)
        try c.encode(examplesOfB, forKey: .examplesOfB)
        try c.encode(onlyInA, forKey: .onlyInA)
        try c.encode(onlyInB, forKey: .onlyInB)
        try c.encode(common, forKey: .common)
        try c.encode(otherTokens, forKey: .otherTokens)
        try c.encode(otherTexts, forKey: .otherTexts)
        try c.encode(otherSplits, forKey: .otherSplits)
        try c.encode(compared, forKey: .compared)
        try c.encode(isComplete, forKey: .isComplete)
        try c.encode(signals, forKey: .signals)
        try c.encode(teacher, forKey: .teacher)
        try c.encode(areEqual, forKey: .areEqual)
    }
}

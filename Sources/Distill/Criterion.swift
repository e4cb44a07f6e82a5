import Tensors

/// The widths of the two models.
public struct CriterionSizes: Sendable {
    /// d and D.
    public var student: Int, teacher: Int

    /// Widths of the student's and the teacher's hidden states.
    public init(student: Int, teacher: Int) {
        self.student = student
        self.teacher = teacher
    }
}

/// One model's supervised positions of a batch, example after example.
public struct SupervisedRows: Sendable {
    /// (n, width), after the final norm.
    public var hidden: Matrix
    /// The token at each position, n.
    public var inputs: [UInt32]
    /// The next token, n.
    public var labels: [UInt32]
    /// Where each example starts, and at the end n.
    public var offsets: [Int]

    /// Rows of a batch.
    public init(hidden: Matrix, inputs: [UInt32], labels: [UInt32], offsets: [Int]) {
        precondition(
            hidden.rows == labels.count && inputs.count == labels.count
                && offsets.last == labels.count,
            "rows, inputs, labels and offsets disagree"
        )
        self.hidden = hidden
        self.inputs = inputs
        self.labels = labels
        self.offsets = offsets
    }

    /// The number of positions.
    public var count: Int { labels.count }

    /// The number of examples.
    public var exampleCount: Int { offsets.count - 1 }

    /// The positions of one example.
    public func range(ofExample example: Int) -> Range<Int> {
        offsets[example]..<offsets[example + 1]
    }
}

/// A micro-batch as a criterion sees it.
public struct CriterionBatch: Sendable {
    /// (n, d) rows of the student.
    public var student: SupervisedRows
    /// (m, D) rows of the teacher, of the same examples in the same order.
    public var teacher: SupervisedRows
    /// What is known of the teacher's distribution at its m rows.
    public var teacherRows: TeacherRows
    /// (n, d) and (m, D) rows of other layers by their number, where a criterion asks for them.
    public var studentLayers: [Int: Matrix], teacherLayers: [Int: Matrix]

    /// A micro-batch.
    public init(
        student: SupervisedRows,
        teacher: SupervisedRows,
        teacherRows: TeacherRows = .exact,
        studentLayers: [Int: Matrix] = [:],
        teacherLayers: [Int: Matrix] = [:]
    ) {
        precondition(
            student.exampleCount == teacher.exampleCount,
            "the two sides hold different examples"
        )
        self.student = student
        self.teacher = teacher
        self.teacherRows = teacherRows
        self.studentLayers = studentLayers
        self.teacherLayers = teacherLayers
    }
}

/// Where a criterion puts the gradients by the student's states.
public struct StateGradients {
    /// (n, d), overwritten with the gradient by the final hidden states.
    public var hidden: Matrix
    /// (n, d) for each layer that a criterion asked for, overwritten.
    public var layers: [Int: Matrix]

    /// Room for the gradients.
    public init(hidden: Matrix, layers: [Int: Matrix] = [:]) {
        self.hidden = hidden
        self.layers = layers
    }
}

/// The weights of the two models that criteria read.
public struct CriterionModels {
    /// W_s; its gradient is added to where it has one.
    public var studentHead: HeadProduct
    /// E_s [V_s, d]; no gradient reaches it from a criterion.
    public var studentEmbedding: Matrix
    /// W_t, frozen.
    public var teacherHead: HeadProduct
    /// E_t, the rows that occur.
    public var teacherEmbedding: EmbeddingRows

    /// Weights of the two models.
    public init(
        studentHead: HeadProduct,
        studentEmbedding: Matrix,
        teacherHead: HeadProduct,
        teacherEmbedding: EmbeddingRows
    ) {
        self.studentHead = studentHead
        self.studentEmbedding = studentEmbedding
        self.teacherHead = teacherHead
        self.teacherEmbedding = teacherEmbedding
    }
}

/// What a criterion must know of the whole optimiser step before it sees the first micro-batch, so
/// that cutting a step into micro-batches changes nothing.
public struct StepStatistics: Sendable {
    /// The denominator of every loss: supervised student positions of all micro-batches.
    public var studentPositions = 0
    /// std of the teacher's hidden states, of E_t[y], and of [E_t[x] ; E_t[y]].
    public var hiddenDeviation: Float { hidden.deviation }
    /// See `hiddenDeviation`.
    public var labelDeviation: Float { labels.deviation }
    /// See `hiddenDeviation`.
    public var keyDeviation: Float { keys.deviation }
    /// What the deviations come from.
    var hidden = Moments(), labels = Moments(), keys = Moments()
    /// What `dskd_v2` found out about each micro-batch here, and the pairs of all micro-batches, with those
    /// that agree; nil where there is one micro-batch alone, which finds it out as it goes.
    var agreements: [TeacherAgreement]?
    /// See `agreements`.
    var pairs = 0, agreeing = 0

    /// All that is added up over micro-batches, as numbers: those of several ranks add up to the step's.
    var totals: [Double] {
        get {
            [Double(studentPositions), Double(pairs), Double(agreeing)]
                + [hidden, labels, keys].flatMap(\.totals)
        }
        set {
            precondition(newValue.count == totals.count, "totals of another kind")
            (studentPositions, pairs, agreeing) = (
                Int(newValue[0]), Int(newValue[1]), Int(newValue[2])
            )
            (hidden.totals, labels.totals, keys.totals) = (
                Array(newValue[3..<6]), Array(newValue[6..<9]), Array(newValue[9..<12])
            )
        }
    }

    /// Every loss's share of the step's mean, 1 / N.
    var over: Float { 1 / Float(max(1, studentPositions)) }
}

/// Sums over positions by name; means are over the supervised positions of their side.
public struct CriterionSums: Sendable, Equatable {
    /// `ce`, `t2s_ce`, `t2s_kd`, `s2t_kd`, `kd`, `total`, and for a projected teacher
    /// `t2s_accuracy`, `t2s_top_probability`, `t2s_gate`.
    public var values: [String: Double] = [:]
    /// Student positions that the sums run over.
    public var positions = 0

    /// No positions yet.
    public init() {}

    /// Sums of a micro-batch, with the total of its parts.
    init(_ values: [String: Double], positions: Int, kdRate: Float) {
        self.values = values
        self.positions = positions
        let rate = Double(kdRate)
        self.values["total"] = (1 - rate) * (values["ce"] ?? 0) + rate * (values["kd"] ?? 0)
    }

    /// Every sum over the number of student positions.
    public var means: [String: Double] {
        values.mapValues { $0 / Double(max(1, positions)) }
    }

    /// Adds the sums of other positions.
    public mutating func add(_ other: CriterionSums) {
        values.merge(other.values, uniquingKeysWith: +)
        positions += other.positions
    }
}

/// What a criterion needs of a cache and of the two models.
public struct CriterionNeeds: OptionSet, Sendable {
    /// The bits.
    public let rawValue: Int
    /// See `rawValue`.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// Student and teacher positions pair one to one, which needs one tokenizer.
    public static let pairedPositions = CriterionNeeds(rawValue: 1)
    /// The teacher's final hidden states.
    public static let hiddenStates = CriterionNeeds(rawValue: 2)
    /// The teacher's distribution, by one of `TeacherSignal`.
    public static let distribution = CriterionNeeds(rawValue: 4)
    /// The teacher's head.
    public static let head = CriterionNeeds(rawValue: 8)
    /// The teacher's input embedding, the rows that occur.
    public static let embedding = CriterionNeeds(rawValue: 16)
    /// The text of every token of both vocabularies.
    public static let texts = CriterionNeeds(rawValue: 32)
    /// Hidden states of the layers that the settings name.
    public static let layers = CriterionNeeds(rawValue: 64)

    /// Whether the tokens at the positions are read, besides the labels after them.
    var readsInputs: Bool { !isDisjoint(with: [.embedding, .texts]) }

    /// These and what the teacher's signal takes: the exact distribution is the head times hidden states.
    func with(_ signal: TeacherSignal) -> CriterionNeeds {
        guard contains(.distribution), signal == .exact else { return self }
        return union([.hiddenStates, .head])
    }
}

/// What a criterion is made from.
public struct CriterionContext: Sendable {
    /// Its settings.
    public var settings: CriterionSettings
    /// Widths of the two models.
    public var sizes: CriterionSizes
    /// The run's seed, for the projectors' first values.
    public var seed: UInt64
    /// Token texts of both sides; nil where no criterion reads them.
    public var texts: VocabularyTexts?
    /// Numbers that one linear map between the two models' spaces may have.
    public var mostNumbers: Int

    /// What nobody means: 4 GiB, and as much for its gradient.
    public static let mostNumbers = 1 << 30

    /// A context of these parts.
    public init(
        settings: CriterionSettings,
        sizes: CriterionSizes,
        seed: UInt64,
        texts: VocabularyTexts? = nil,
        mostNumbers: Int = Self.mostNumbers
    ) {
        self.settings = settings
        self.sizes = sizes
        self.seed = seed
        self.texts = texts
        self.mostNumbers = mostNumbers
    }

    /// Refuses a map that there is no room for, before it is made.
    ///
    /// - Parameter name: Of what it is for.
    /// - Throws: `DistillError.unfit`.
    func requireRoom(_ name: String, _ inputs: Int, _ outputs: Int) throws {
        let (count, overflow) = inputs.multipliedReportingOverflow(by: outputs)
        guard overflow || count > mostNumbers else { return }
        throw DistillError.unfit(
            "\(name): a map of \(inputs) x \(outputs) numbers is too large; "
                + "at most \(mostNumbers) have room"
        )
    }
}

/// A loss between a student and a cached teacher, with its gradients.
///
/// A new criterion is one file with such a type, and one line in `CriterionRegistry`.
public protocol Criterion: AnyObject {
    /// The name in settings files.
    static var name: String { get }
    /// One line for lists.
    static var summary: String { get }
    /// What it reads besides the student.
    static var needs: CriterionNeeds { get }
    /// Names of the projectors whose structure can be set; none by default.
    static var projectorNames: [String] { get }
    /// Whether `prepare` sets the projectors, so that nobody need give them; it does not by default.
    static var preparesProjectors: Bool { get }

    /// Draws the projectors of a new run.
    ///
    /// - Throws: `DistillError.badSetting` for settings that it cannot work with.
    init(_ context: CriterionContext) throws

    /// What is learnt beside the student.
    var projectors: [Projector] { get }

    /// Sets what the first values of projectors take from the models' weights; before any training, and
    /// before a checkpoint's values are put in place.
    ///
    /// - Throws: `DistillError.unfit` for weights that give none.
    func prepare(_ models: CriterionModels) throws

    /// Looks at the micro-batches of an optimiser step; student hidden states are not read.
    ///
    /// - Parameter isWhole: Whether they are all of the step's; else other ranks have the rest, and the
    ///   `totals` are to be added up before `evaluate` sees them.
    func statistics(
        of batches: [CriterionBatch],
        isWhole: Bool,
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics

    /// Losses of one micro-batch, and its share of the step's gradients.
    ///
    /// - Parameters:
    ///   - index: The micro-batch's place in the step.
    ///   - gradients: Overwritten. Gradients of the student's head and of the projectors are added to.
    ///     Nil for the losses alone.
    func evaluate(
        _ batch: CriterionBatch,
        at index: Int,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        gradients: StateGradients?
    ) throws -> CriterionSums
}

extension Criterion {
    /// None.
    public static var projectorNames: [String] { [] }
    /// False.
    public static var preparesProjectors: Bool { false }
    /// Nothing.
    public var projectors: [Projector] { [] }

    /// Nothing.
    public func prepare(_ models: CriterionModels) throws {}

    /// Of a whole step.
    public func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        try statistics(of: batches, isWhole: true, models: models, engine: engine)
    }

    /// Counts the positions.
    public func statistics(
        of batches: [CriterionBatch],
        isWhole: Bool,
        models: CriterionModels,
        engine: HeadLoss
    ) throws -> StepStatistics {
        StepStatistics(studentPositions: batches.reduce(0) { $0 + $1.student.count })
    }
}

/// - Throws: `DistillError.unpairedPositions` unless every example has as many positions on both sides.
func requirePairs(_ batch: CriterionBatch, criterion: String) throws {
    for example in 0..<batch.student.exampleCount {
        let n = batch.student.range(ofExample: example).count
        let m = batch.teacher.range(ofExample: example).count
        guard n == m else {
            throw DistillError.unpairedPositions(
                criterion: criterion,
                example: example,
                student: n,
                teacher: m
            )
        }
    }
}

import Tensors

/// How the parts of a loss are weighed and softened; the same for every criterion.
public struct CriterionSettings: Sendable, Codable, Equatable {
    /// total = (1 - kdRate) ce + kdRate kd.
    public var kdRate: Float
    /// tau of every divergence, both sides.
    public var temperature: Float
    /// Divides the projected teacher's logits besides tau (`dskd_cma` alone).
    public var teacherTemperature: Float
    /// Between the projected teacher and the student.
    public var divergence: Divergence
    /// Whether divergences are multiplied by tau^2, which the authors' code does not do.
    public var scalesByTemperatureSquared: Bool

    /// Settings with the paper's values unless told otherwise.
    public init(
        kdRate: Float = 0.5,
        temperature: Float = 2,
        teacherTemperature: Float = 1,
        divergence: Divergence = .forwardKL,
        scalesByTemperatureSquared: Bool = false
    ) {
        self.kdRate = kdRate
        self.temperature = temperature
        self.teacherTemperature = teacherTemperature
        self.divergence = divergence
        self.scalesByTemperatureSquared = scalesByTemperatureSquared
    }
}

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
}

/// A micro-batch as a criterion sees it.
public struct CriterionBatch: Sendable {
    /// (n, d) rows of the student.
    public var student: SupervisedRows
    /// (m, D) rows of the teacher, of the same examples in the same order.
    public var teacher: SupervisedRows

    /// A micro-batch.
    public init(student: SupervisedRows, teacher: SupervisedRows) {
        self.student = student
        self.teacher = teacher
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
public struct StepStatistics: Sendable, Equatable {
    /// The denominator of every loss: supervised student positions of all micro-batches.
    public var studentPositions = 0
    /// std of the teacher's hidden states, of E_t[y], and of [E_t[x] ; E_t[y]].
    public var hiddenDeviation: Float = 1
    /// See `hiddenDeviation`.
    public var labelDeviation: Float = 1
    /// See `hiddenDeviation`.
    public var keyDeviation: Float = 1
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

/// A loss between a student and a cached teacher, with its gradients.
///
/// A new criterion is one file with such a type, and one line in `CriterionRegistry`.
public protocol Criterion: AnyObject {
    /// The name in settings files.
    static var name: String { get }
    /// Whether student and teacher positions pair one to one, which needs one vocabulary.
    static var pairsPositions: Bool { get }
    /// Whether it reads the teacher's rows at all.
    static var usesTeacher: Bool { get }
    /// Whether it reads rows of the teacher's input embedding; false unless said otherwise.
    static var usesTeacherEmbedding: Bool { get }

    /// Draws the projectors of a new run.
    init(settings: CriterionSettings, sizes: CriterionSizes, seed: UInt64)

    /// What is learnt beside the student.
    var projectors: [Projector] { get }

    /// Looks at all micro-batches of an optimiser step; student hidden states are not read.
    func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels
    ) throws -> StepStatistics

    /// Losses of one micro-batch, and its share of the step's gradients.
    ///
    /// - Parameters:
    ///   - dHidden: (n, d), overwritten with the gradient by the student's hidden states. Gradients
    ///     of the student's head and of the projectors are added to. Nil for the losses alone.
    func evaluate(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        dHidden: Matrix?
    ) throws -> CriterionSums
}

extension Criterion {
    /// False.
    public static var usesTeacherEmbedding: Bool { false }

    /// Counts the positions.
    public func statistics(
        of batches: [CriterionBatch],
        models: CriterionModels
    ) throws -> StepStatistics {
        StepStatistics(studentPositions: batches.reduce(0) { $0 + $1.student.count })
    }
}

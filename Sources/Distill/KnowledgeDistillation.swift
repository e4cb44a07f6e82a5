import Tensors

/// `kd`, one vocabulary: D(teacher || student) at every position.
public final class KnowledgeDistillation: Criterion {
    /// The name in settings files.
    public static let name = "kd"
    /// Position i of the student learns from position i of the teacher.
    public static let pairsPositions = true
    /// The teacher's distribution is its hidden state times its head.
    public static let usesTeacher = true
    /// None.
    public let projectors: [Projector] = []
    private let settings: CriterionSettings
    private var cutHead: HeadProduct?

    /// Nothing is drawn.
    public init(settings: CriterionSettings, sizes: CriterionSizes, seed: UInt64) {
        self.settings = settings
    }

    /// Cross-entropy and divergence of one micro-batch.
    public func evaluate(
        _ batch: CriterionBatch,
        models: CriterionModels,
        step: StepStatistics,
        engine: HeadLoss,
        dHidden: Matrix?
    ) throws -> CriterionSums {
        try requirePairs(batch, criterion: Self.name)
        let over = 1 / Float(max(1, step.studentPositions))
        let factor = settings.divergenceFactor
        let target = HeadLoss.Target(
            hidden: batch.teacher.hidden,
            head: teacherHead(models),
            divergence: settings.divergence,
            temperature: settings.temperature,
            targetTemperature: settings.temperature,
            weight: settings.kdRate * factor * over,
            gated: false
        )
        let sums = engine.studentSpace(
            hidden: batch.student.hidden,
            head: models.studentHead,
            labels: batch.student.labels,
            crossEntropyWeight: (1 - settings.kdRate) * over,
            target: target,
            dHidden: dHidden
        )
        var result = CriterionSums()
        result.positions = batch.student.count
        result.values = ["ce": sums.crossEntropy, "kd": sums.divergence * Double(factor)]
        result.addTotal(kdRate: settings.kdRate)
        return result
    }

    /// Padded heads of different sizes are both cut to the smaller.
    private func teacherHead(_ models: CriterionModels) -> HeadProduct {
        let size = models.studentHead.vocabulary
        guard models.teacherHead.vocabulary > size else { return models.teacherHead }
        let cut = cutHead ?? models.teacherHead.prefix(size)
        cutHead = cut
        return cut
    }
}

extension CriterionSettings {
    /// tau^2 where it is asked for.
    var divergenceFactor: Float { scalesByTemperatureSquared ? temperature * temperature : 1 }
}

extension CriterionSums {
    /// total = (1 - kdRate) ce + kdRate kd.
    mutating func addTotal(kdRate: Float) {
        let rate = Double(kdRate)
        values["total"] = (1 - rate) * (values["ce"] ?? 0) + rate * (values["kd"] ?? 0)
    }
}

/// Throws unless every example has as many positions on both sides.
func requirePairs(_ batch: CriterionBatch, criterion: String) throws {
    let (student, teacher) = (batch.student.offsets, batch.teacher.offsets)
    for example in 0..<max(0, min(student.count, teacher.count) - 1) {
        let n = student[example + 1] - student[example]
        let m = teacher[example + 1] - teacher[example]
        guard n == m else {
            throw DistillError.unpairedPositions(
                criterion: criterion,
                example: example,
                student: n,
                teacher: m
            )
        }
    }
    precondition(student.count == teacher.count, "the two sides hold different examples")
}

/// Where the teacher's own distribution comes from.
public enum TeacherSignal: String, Codable, Sendable, CaseIterable {
    /// Its final hidden states times its head.
    case exact
    /// The most likely tokens that the cache stores.
    case topK = "topk"
    /// Draws at temperature 1: right on average, for forward KL at temperature 1.
    case sampled
    /// Whole rows of log-probabilities that the cache stores.
    case full
}

/// What becomes of the tokens beyond the stored top-k.
public enum TopKTail: String, Codable, Sendable, CaseIterable {
    /// They are one more outcome on both sides, with the mass that they have together.
    case ghost
    /// The teacher has none; its stored tokens add up to one.
    case renormalise
}

/// A student's layer that is held against a teacher's, by plain feature distillation.
public struct LayerPair: Sendable, Hashable {
    /// Layer numbers as `extract.hidden_layers` counts them: 0 is the embedding, i the output of block i;
    /// nil is the state after the final norm.
    public var student: Int?, teacher: Int?

    /// A pair of layers.
    public init(student: Int?, teacher: Int?) {
        self.student = student
        self.teacher = teacher
    }

    /// Reads `4:20`, `final:final`; nil where that is no pair.
    public init?(_ text: String) {
        let words = text.split(separator: ":", omittingEmptySubsequences: false)
        guard words.count == 2 else { return nil }
        var layers: [Int?] = []
        for word in words {
            if word == "final" {
                layers.append(nil)
            } else if let number = Int(word), (0..<65_536).contains(number) {
                layers.append(number)
            } else {
                return nil
            }
        }
        (student, teacher) = (layers[0], layers[1])
    }

    /// A name for its projector.
    var suffix: String {
        "\(student.map(String.init) ?? "final")_\(teacher.map(String.init) ?? "final")"
    }
}

/// How the parts of a loss are weighed and softened; the same for every criterion.
public struct CriterionSettings: Sendable, Equatable {
    /// total = (1 - kdRate) ce + kdRate kd.
    public var kdRate: Float
    /// tau of every divergence, both sides.
    public var temperature: Float
    /// Divides the projected teacher's logits besides tau (`dskd_cma` alone).
    public var teacherTemperature: Float
    /// Between the teacher and the student.
    public var divergence: Divergence
    /// Whether divergences are multiplied by tau^2, which the authors' code does not do.
    public var scalesByTemperatureSquared: Bool
    /// Share of the label's mass that the student's cross-entropy spreads over all tokens.
    public var labelSmoothing: Float = 0
    /// Where the teacher's own distribution comes from.
    public var teacherSignal = TeacherSignal.exact
    /// What becomes of the tokens beyond a stored top-k.
    public var topKTail = TopKTail.ghost
    /// Structures of projectors by name (`t2s`, `s2t`, `query`); a plain linear map where there is none.
    public var projectors: [String: String] = [:]
    /// How many of the tokens that both vocabularies hold `dskd_v2` looks at; nil for all.
    public var topVocabulary: Int?
    /// Up to this share of agreeing positions, t2s_kd counts at those alone (`dskd_v2`).
    public var agreement: Float = 1
    /// The layers that `hidden_mse` and `hidden_cosine` compare.
    public var layers = [LayerPair(student: nil, teacher: nil)]

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

    /// tau^2 where it is asked for.
    var divergenceFactor: Float { scalesByTemperatureSquared ? temperature * temperature : 1 }

    /// Refuses a teacher's signal that a distance to it cannot be computed from.
    ///
    /// - Parameter divergence: From the teacher's own distribution to the student's.
    /// - Throws: `DistillError.badSetting`.
    func requireSignal(for divergence: Divergence) throws {
        func refuse(_ key: String, _ value: String, _ remedy: String) -> DistillError {
            DistillError.badSetting(key: key, value: value, remedy: remedy)
        }
        switch teacherSignal {
        case .exact, .full:
            return
        case .topK:
            let isInfinite = divergence == .reverseKL || divergence == .adaptiveKL
            guard topKTail == .ghost || !isInfinite else {
                throw refuse(
                    "topk_tail",
                    "renormalise with \(divergence.rawValue), infinite where the teacher has nothing,",
                    "use topk_tail: ghost, or another divergence"
                )
            }
        case .sampled:
            guard temperature == 1 else {
                throw refuse(
                    "temperature",
                    "\(temperature) with teacher_signal: sampled",
                    "draws are of temperature 1 alone; set temperature: 1"
                )
            }
            guard divergence == .forwardKL else {
                throw refuse(
                    "divergence",
                    "\(divergence.rawValue) with teacher_signal: sampled",
                    "only forward_kl is right on average; use it, or teacher_signal: exact"
                )
            }
        }
    }

    /// Refuses draws where a criterion looks at more of a distribution than its mean.
    func requireWhole(_ criterion: String) throws {
        guard teacherSignal == .sampled else { return }
        throw DistillError.badSetting(
            key: "teacher_signal",
            value: "sampled with \(criterion)",
            remedy: "it needs whole or sorted distributions; use exact, full or topk"
        )
    }
}

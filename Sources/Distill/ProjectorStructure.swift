/// What a projector is made of, written as its sizes in order: `t-s`, `2s-2t`, `t-2s-relu-s`.
///
/// A size is a number, or a multiple of the student's width `s` or the teacher's `t`; between two sizes
/// lies a linear map; `relu` after a size that is not the last keeps what is above zero.
public struct ProjectorStructure: Sendable, Equatable {
    /// One step, in the order that they are applied in.
    enum Step: Sendable, Equatable {
        case linear(inputs: Int, outputs: Int)
        case relu
    }

    let steps: [Step]

    /// One linear map.
    init(inputs: Int, outputs: Int) {
        self.init(steps: [.linear(inputs: inputs, outputs: outputs)])
    }

    private init(steps: [Step]) { self.steps = steps }

    /// The structure of a projector, as the settings say or one linear map.
    ///
    /// - Parameters:
    ///   - name: `t2s`, `s2t` or `query`.
    ///   - inputs: What it must take, and `outputs` what it must give.
    /// - Throws: `DistillError.badSetting` for a text that is no such structure.
    init(
        _ name: String,
        settings: CriterionSettings,
        sizes: CriterionSizes,
        inputs: Int,
        outputs: Int
    ) throws {
        guard let text = settings.projectors[name] else {
            self.init(inputs: inputs, outputs: outputs)
            return
        }
        func refuse(_ remedy: String) -> DistillError {
            DistillError.badSetting(key: "projectors.\(name)", value: "\"\(text)\"", remedy: remedy)
        }
        let example = "write sizes such as t-s, 2s-2t or t-2s-relu-s"
        var steps: [Step] = []
        var width: Int?
        var first: Int?
        for word in text.split(separator: "-", omittingEmptySubsequences: false) {
            if word == "relu" {
                guard width != nil, steps.last != .relu else {
                    throw refuse("relu comes after a size; \(example)")
                }
                steps.append(.relu)
                continue
            }
            guard let size = Self.size(word, sizes) else { throw refuse(example) }
            if let width {
                // The nonlinearity stands between the sizes of two maps.
                steps.append(.linear(inputs: width, outputs: size))
            } else {
                first = size
            }
            width = size
        }
        guard first == inputs, width == outputs else {
            throw refuse("it takes \(inputs) numbers and gives \(outputs) here; \(example)")
        }
        guard steps.first != .relu, steps.last != .relu, !steps.isEmpty else {
            throw refuse("a linear map comes first and last; \(example)")
        }
        guard steps.count <= Self.mostSteps else {
            throw refuse("at most \(Self.mostSteps) steps")
        }
        self.init(steps: steps)
    }

    private static let mostSteps = 16
    private static let largest = 1 << 20

    private static func size(_ word: Substring, _ sizes: CriterionSizes) -> Int? {
        let unit: Int
        var digits = word
        switch word.last {
        case "s": (unit, digits) = (sizes.student, word.dropLast())
        case "t": (unit, digits) = (sizes.teacher, word.dropLast())
        default: unit = 1
        }
        guard !digits.isEmpty || unit != 1 else { return nil }
        guard let factor = digits.isEmpty ? 1 : Int(digits), factor > 0, factor <= largest else {
            return nil
        }
        let (size, overflow) = factor.multipliedReportingOverflow(by: unit)
        return overflow || size > largest ? nil : size
    }
}

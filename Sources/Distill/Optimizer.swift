import CKernels
import Models
import Tensors

/// AdamW over the student and the projectors, with one clipping norm over both.
final class Optimizer {
    /// A parameter with its moments and the settings of its group.
    struct Slot {
        let parameter: Parameter
        /// Same shape as the parameter.
        let m: Matrix, v: Matrix
        let learningRate: Float
        let weightDecay: Float
    }

    /// Why a step changes nothing.
    enum Skip: String, Equatable {
        /// Its gradient is infinite or undefined somewhere.
        case notFinite = "not_finite"
        /// Its loss is far above that of the steps before.
        case lossSpike = "loss_spike"
    }

    /// What one call of `step` did.
    struct Outcome: Equatable {
        /// Before clipping; perhaps not finite where the step was skipped.
        var gradientNorm: Double
        /// Nil for a step that was applied.
        var skip: Skip?
        var applied: Bool { skip == nil }
    }

    let slots: [Slot]
    let clip: Float
    /// Steps applied: the exponent of the bias corrections.
    var applied = 0

    static let beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8

    /// Weights decay and vectors do not; the projectors have a learning rate of their own.
    init(student: [Parameter], projectors: [Parameter], settings: DistillSettings) {
        func slot(_ parameter: Parameter, _ rate: Float) -> Slot {
            parameter.prepareGradient()
            return Slot(
                parameter: parameter,
                m: Matrix(zeros: parameter.value.rows, parameter.value.columns),
                v: Matrix(zeros: parameter.value.rows, parameter.value.columns),
                learningRate: rate,
                weightDecay: parameter.decays ? settings.weightDecay : 0
            )
        }
        slots =
            student.map { slot($0, settings.learningRate) }
            + projectors.map { slot($0, settings.projectorLearningRate) }
        clip = settings.clip
    }

    /// Applies the gradients and sets them to zero; a gradient that is not finite changes nothing.
    ///
    /// - Parameters:
    ///   - factor: Of every learning rate, from the schedule.
    ///   - isSpike: Whether the step's loss forbids to apply it.
    ///   - agree: Makes of the norm what all ranks take for it.
    func step(
        factor: Float,
        isSpike: Bool = false,
        agree: (Double) -> Double = { $0 }
    ) -> Outcome {
        var squares = 0.0
        for slot in slots {
            if let gradient = slot.parameter.gradient {
                squares += ck_sum_of_squares(gradient.base, gradient.count)
            }
        }
        let norm = agree(squares.squareRoot())
        let skip: Skip? = norm.isFinite ? (isSpike ? .lossSpike : nil) : .notFinite
        if skip == nil { apply(scale: Float(min(1, Double(clip) / (norm + 1e-6))), factor: factor) }
        for slot in slots { slot.parameter.gradient?.fill(0) }
        return Outcome(gradientNorm: norm, skip: skip)
    }

    private func apply(scale: Float, factor: Float) {
        applied += 1
        let correction1 = Float(1 - Double(Self.beta1).raised(to: applied))
        let correction2 = Float(1 - Double(Self.beta2).raised(to: applied))
        for slot in slots {
            guard let gradient = slot.parameter.gradient else { continue }
            let value = slot.parameter.value
            let (m, v) = (slot.m, slot.v)
            let (rate, decay) = (slot.learningRate * factor, slot.weightDecay)
            parallelRanges(value.count, minimum: 1 << 15) { range, _ in
                let at = range.lowerBound
                ck_adamw(
                    value.base + at,
                    gradient.base + at,
                    m.base + at,
                    v.base + at,
                    range.count,
                    rate,
                    Self.beta1,
                    Self.beta2,
                    Self.epsilon,
                    decay,
                    correction1,
                    correction2,
                    scale
                )
            }
        }
    }
}

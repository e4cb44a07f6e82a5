import CKernels
import Tensors

/// How far the student's distribution q is from the target p: D(p || q), in nats.
///
/// Both come from logits divided by a temperature. Gradients reach q alone.
public enum Divergence: String, CaseIterable, Sendable, Codable {
    /// sum p (log p - log q).
    case forwardKL = "forward_kl"
    /// sum q (log q - log p).
    case reverseKL = "reverse_kl"
    /// Half KL(p || m) and half KL(q || m), m their mean.
    case js = "js"
    /// KL(p || 0.1 p + 0.9 q).
    case skewedForwardKL = "skewed_forward_kl"
    /// KL(q || 0.9 p + 0.1 q).
    case skewedReverseKL = "skewed_reverse_kl"
    /// Forward and reverse KL, weighted by where p and q differ: in p's head or in its tail.
    case adaptiveKL = "adaptive_kl"

    /// The number that the kernel knows it by.
    var kernelNumber: Int32 {
        switch self {
        case .forwardKL: Int32(CK_FORWARD_KL)
        case .reverseKL: Int32(CK_REVERSE_KL)
        case .js: Int32(CK_JS)
        case .skewedForwardKL: Int32(CK_SKEWED_FORWARD_KL)
        case .skewedReverseKL: Int32(CK_SKEWED_REVERSE_KL)
        case .adaptiveKL: Int32(CK_ADAPTIVE_KL)
        }
    }

    /// What the row kernel is told.
    ///
    /// - Parameters:
    ///   - targetTemperature: Of p; the student's is `temperature`.
    ///   - weight: Scales the divergence's gradient, `crossEntropyWeight` the cross-entropy's.
    func kernelSettings(
        temperature: Float,
        targetTemperature: Float,
        weight: Float,
        crossEntropyWeight: Float = 0,
        labelSmoothing: Float = 0
    ) -> ck_criterion_settings {
        ck_criterion_settings(
            divergence: kernelNumber,
            p_scale: 1 / targetTemperature,
            q_scale: 1 / temperature,
            skew: 0.1,
            tail_mass: 0.5,
            divergence_weight: weight,
            cross_entropy_weight: crossEntropyWeight,
            label_smoothing: labelSmoothing
        )
    }

    /// The divergence of one row, and its gradient with respect to the student's logits.
    ///
    /// - Parameters:
    ///   - target: (V) logits of p.
    ///   - student: (V) logits of q.
    ///   - temperature: Divides both.
    public func evaluate(
        target: [Float],
        student: [Float],
        temperature: Float
    ) -> (value: Double, gradient: [Float]) {
        precondition(target.count == student.count && !target.isEmpty, "rows of equal length")
        let p = Matrix(target, rows: 1, columns: target.count)
        let q = Matrix(student, rows: 1, columns: student.count)
        let scratch = Matrix(uninitialized: 1, ck_criterion_scratch(student.count))
        var settings = kernelSettings(
            temperature: temperature,
            targetTemperature: temperature,
            weight: 1
        )
        var losses = ck_criterion_losses()
        ck_criterion_row(
            p.base,
            target.count,
            q.base,
            student.count,
            -1,
            &settings,
            scratch.base,
            &losses
        )
        return (losses.divergence, q.values)
    }
}

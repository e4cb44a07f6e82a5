import CKernels
import Tensors

/// Takes gradients of logits back through a head's soft-cap, row by row.
///
/// The row kernels put gradients where the logits were, and the cap's slope, 1 - (logit / cap)^2,
/// needs the logits: one row of them is kept meanwhile.
struct CapBackward {
    /// (V) floats; not touched where the head does not cap.
    let kept: UnsafeMutablePointer<Float>

    /// Replaces a row of logits by the gradient of the head's product.
    ///
    /// - Parameters:
    ///   - logits: (V), capped as `head` does it.
    ///   - gradient: Replaces the logits by their gradient.
    func replace<Result>(
        _ logits: UnsafeMutablePointer<Float>,
        of head: HeadProduct,
        gradient: () -> Result
    ) -> Result {
        guard let cap = head.softCap else { return gradient() }
        kept.update(from: logits, count: head.vocabulary)
        let result = gradient()
        ck_soft_cap_backward(kept, logits, head.vocabulary, cap)
        return result
    }
}

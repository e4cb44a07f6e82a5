import CKernels
import Tensors

/// Sets a share of numbers to 0 and divides the others by what is left (Srivastava and others 2014).
///
/// The mask is a function of `noise` and of a number's place, so the way back and a block that is run
/// again make the same one.
struct Dropout {
    let rate: Float
    let noise: UInt64

    /// The key of one of several masks.
    func key(_ piece: Int) -> UInt64 {
        noise &+ UInt64(truncatingIfNeeded: piece + 1) &* 0x9E37_79B9_7F4A_7C15
    }

    /// Masks x (rows, n), or the gradient of what was masked, in place.
    ///
    /// - Precondition: Its rows lie end to end.
    func apply(to x: Matrix) {
        precondition(x.isContiguous, "rows with gaps")
        guard rate > 0 else { return }
        let (rate, noise) = (rate, noise)
        parallelRanges(x.count, minimum: 1 << 14) { range, _ in
            ck_dropout(x.base + range.lowerBound, range.count, range.lowerBound, noise, rate)
        }
    }
}

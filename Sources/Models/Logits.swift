import CKernels
import Tensors

extension LanguageModel {
    /// The logits (rows, V) of hidden states (rows, d): the head's product, soft-capped where the model
    /// does so.
    ///
    /// For few rows at a time; losses over many rows make the product in chunks and use
    /// `ModelConfiguration.capLogits`.
    public func logits(_ hidden: Matrix) -> Matrix {
        let logits = Matrix(uninitialized: hidden.rows, outputHead.value.rows)
        multiply(hidden, outputHead.value, transposeB: true, into: logits)
        configuration.capLogits(logits)
        return logits
    }
}

extension ModelConfiguration {
    /// Turns products of the head (rows, V) into logits, in place: cap * tanh(x / cap) where the model
    /// has `logitSoftCap`, else nothing.
    public func capLogits(_ logits: Matrix) {
        softCap(logits, at: logitSoftCap)
    }
}

/// Turns products of a head (rows, V) into logits, in place: cap * tanh(x / cap), or nothing where
/// there is no cap.
///
/// For a head without its model, such as a cached teacher's.
public func softCap(_ logits: Matrix, at cap: Float?) {
    guard let cap else { return }
    parallelRanges(logits.rows) { range, _ in
        for row in range { ck_soft_cap(logits.row(row), logits.columns, cap) }
    }
}

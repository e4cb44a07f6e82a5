import CKernels
import Tensors

extension ModelConfiguration.Activation {
    private typealias Plain =
        @Sendable (UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int) -> Void
    private typealias Pair =
        @Sendable (
            UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int
        ) -> Void
    private typealias PairBackward =
        @Sendable (
            UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?,
            UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?, Int
        ) -> Void

    /// out = activation(x), both (rows, n); `out` may be `x`.
    func apply(_ x: Matrix, into out: Matrix) {
        let kernel: Plain =
            switch self {
            case .silu: ck_silu
            case .geluTanh: ck_gelu_tanh
            case .gelu: ck_gelu
            }
        pieces([x, out]) { row, at, count in kernel(x.row(row) + at, out.row(row) + at, count) }
    }

    /// Turns the gradient of `apply`'s result into that of x.
    func backward(_ gradient: Matrix, input x: Matrix) {
        let kernel: Pair =
            switch self {
            case .silu: ck_silu_backward
            case .geluTanh: ck_gelu_tanh_backward
            case .gelu: ck_gelu_backward
            }
        pieces([x, gradient]) { row, at, count in
            kernel(x.row(row) + at, gradient.row(row) + at, gradient.row(row) + at, count)
        }
    }

    /// out = activation(gate) * up, all (rows, n); `out` may be `gate`.
    func apply(gate: Matrix, up: Matrix, into out: Matrix) {
        let kernel: Pair =
            switch self {
            case .silu: ck_silu_mul
            case .geluTanh: ck_gelu_tanh_mul
            case .gelu: ck_gelu_mul
            }
        pieces([gate, up, out]) { row, at, count in
            kernel(gate.row(row) + at, up.row(row) + at, out.row(row) + at, count)
        }
    }

    /// Writes the gradients of gate and up; `dGate` may be `gradient`.
    func backward(_ gradient: Matrix, gate: Matrix, up: Matrix, dGate: Matrix, dUp: Matrix) {
        let kernel: PairBackward =
            switch self {
            case .silu: ck_silu_mul_backward
            case .geluTanh: ck_gelu_tanh_mul_backward
            case .gelu: ck_gelu_mul_backward
            }
        pieces([gate, up, gradient, dGate, dUp]) { row, at, count in
            kernel(
                gate.row(row) + at,
                up.row(row) + at,
                gradient.row(row) + at,
                dGate.row(row) + at,
                dUp.row(row) + at,
                count
            )
        }
    }
}

/// Goes over matrices of one shape in parallel: `body` gets a row and a stretch from its start on,
/// which reaches over many rows where all matrices are contiguous.
private func pieces(
    _ matrices: [Matrix],
    _ body: @Sendable (_ row: Int, _ start: Int, _ count: Int) -> Void
) {
    let (rows, columns) = (matrices[0].rows, matrices[0].columns)
    let worthwhile = 1 << 14
    if matrices.allSatisfy(\.isContiguous) {
        parallelRanges(rows * columns, minimum: worthwhile) { range, _ in
            body(0, range.lowerBound, range.count)
        }
    } else {
        parallelRanges(rows, minimum: max(1, worthwhile / max(1, columns))) { range, _ in
            for row in range { body(row, 0, columns) }
        }
    }
}

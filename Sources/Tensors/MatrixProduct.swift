import COpenBLAS

/// Single-precision matrix products by OpenBLAS.
///
/// The one file that imports it.
private enum BLAS {
    /// OpenBLAS keeps a pool of its own; it is set once, to the number of threads we use ourselves.
    static let ready: Bool = {
        openblas_set_num_threads(Int32(Threads.count))
        return true
    }()
}

/// Runs `body` while every product of OpenBLAS stays on the thread that asks for it.
///
/// The setting holds for the whole process, and calls must not overlap.
func withSingleThreadedProducts(_ body: () -> Void) {
    _ = BLAS.ready
    openblas_set_num_threads(1)
    body()
    openblas_set_num_threads(Int32(Threads.count))
}

/// c = alpha op(a) op(b) + beta c, in float32 with float32 sums.
///
/// - Parameters:
///   - a: (m, k), or (k, m) when `transposeA`.
///   - b: (k, n), or (n, k) when `transposeB`: a weight as PyTorch keeps it, [out, in], is
///     multiplied with `transposeB: true`.
///   - c: (m, n).
public func multiply(
    _ a: Matrix,
    transposeA: Bool = false,
    _ b: Matrix,
    transposeB: Bool = false,
    into c: Matrix,
    alpha: Float = 1,
    beta: Float = 0
) {
    let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
    let (inner, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
    precondition(
        inner == k && c.rows == m && c.columns == n,
        "product of \(m) x \(k) and \(inner) x \(n) into \(c.rows) x \(c.columns)"
    )
    guard m > 0, n > 0 else { return }
    guard k > 0 else {
        if beta == 0 { c.fill(0) }
        return
    }
    _ = BLAS.ready
    cblas_sgemm(
        CblasRowMajor,
        transposeA ? CblasTrans : CblasNoTrans,
        transposeB ? CblasTrans : CblasNoTrans,
        Int32(m),
        Int32(n),
        Int32(k),
        alpha,
        a.base,
        Int32(max(a.stride, 1)),
        b.base,
        Int32(max(b.stride, 1)),
        beta,
        c.base,
        Int32(max(c.stride, 1))
    )
}

import COpenBLAS
import Foundation

/// Single-precision matrix products by OpenBLAS.
///
/// The one file that imports it.
private enum BLAS {
    /// OpenBLAS keeps a pool of its own; it is set once, to the number of threads we use ourselves.
    static let ready: Bool = {
        openblas_set_num_threads(Int32(Threads.count))
        return true
    }()

    /// The library's version and what it was built for, with the kernels that run.
    static var name: String { String(cString: openblas_get_config()) }

    /// Held by every product that OpenBLAS shares out, and alone by whoever changes how many threads it may use:
    /// that setting is the whole process's, and by some kernels a product's last bits depend on it.
    nonisolated(unsafe) private static let lock: UnsafeMutablePointer<pthread_rwlock_t> = {
        let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)
        require(pthread_rwlock_init(lock, nil))
        return lock
    }()

    private static func require(_ status: Int32) {
        precondition(status == 0, "the lock of matrix products failed: \(status)")
    }

    /// Runs a product, on as many threads as are to be used here.
    static func product(_ body: () -> Void) {
        _ = ready
        guard !Threads.isAlone else { return body() }
        require(pthread_rwlock_rdlock(lock))
        body()
        require(pthread_rwlock_unlock(lock))
    }

    /// See `withSingleThreadedProducts`.
    static func alone(_ body: () -> Void) {
        _ = ready
        guard !Threads.isAlone else { return body() }
        require(pthread_rwlock_wrlock(lock))
        openblas_set_num_threads(1)
        body()
        openblas_set_num_threads(Int32(Threads.count))
        require(pthread_rwlock_unlock(lock))
    }
}

/// The libraries that products are computed by.
public enum ProductLibraries {
    /// Their versions and kernels: on one machine another choice of kernels gives other last bits.
    public static var names: [String] { [BLAS.name, OneDNN.name] }
}

/// Runs `body` while every product of OpenBLAS stays on the thread that asks for it.
///
/// Products of other threads that share theirs out wait until `body` is through.
func withSingleThreadedProducts(_ body: () -> Void) { BLAS.alone(body) }

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
    BLAS.product {
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
}

/// c (m, n) += op(a) b in float64, row after row: a is (k, m) when `transposeA`, else (m, k).
func addDoubleProduct(
    _ a: [Double],
    transposeA: Bool,
    _ b: [Double],
    into c: inout [Double],
    m: Int,
    n: Int,
    k: Int
) {
    precondition(a.count >= m * k && b.count >= k * n && c.count >= m * n, "shapes differ")
    guard m > 0, n > 0, k > 0 else { return }
    BLAS.product {
        cblas_dgemm(
            CblasRowMajor,
            transposeA ? CblasTrans : CblasNoTrans,
            CblasNoTrans,
            Int32(m),
            Int32(n),
            Int32(k),
            1,
            a,
            Int32(transposeA ? m : k),
            b,
            Int32(n),
            1,
            &c,
            Int32(n)
        )
    }
}

/// Eigenvalues, ascending, of a symmetric matrix (n, n), which receives the eigenvectors: row i is that
/// of the i-th.
///
/// - Returns: Nil where the iteration does not converge, as with NaNs.
func symmetricEigenvalues(_ a: inout [Double], _ n: Int) -> [Double]? {
    precondition(a.count == n * n, "shapes differ")
    guard n > 0 else { return [] }
    var size = Int32(n)
    var values = [Double](repeating: 0, count: n)
    var (query, integers, info) = (0.0, Int32(0), Int32(0))
    var (all, none) = (Int32(-1), Int32(-1))
    dsyevd_("V", "L", &size, &a, &size, &values, &query, &all, &integers, &none, &info)
    var (room, integerRoom) = (Int32(query), integers)
    var work = [Double](repeating: 0, count: Int(room))
    var integerWork = [Int32](repeating: 0, count: Int(integerRoom))
    BLAS.product {
        dsyevd_(
            "V",
            "L",
            &size,
            &a,
            &size,
            &values,
            &work,
            &room,
            &integerWork,
            &integerRoom,
            &info
        )
    }
    return info == 0 ? values : nil
}

import CKernels
import COneDNN
import Foundation

/// The precision in which matrix products are computed.
///
/// Sums are float32 in both.
public enum ComputeType: String, Sendable, Codable, CaseIterable {
    /// float32 throughout (OpenBLAS).
    case f32
    /// Factors rounded to bfloat16 (oneDNN); about twice as fast where the processor has it.
    case bf16

    /// Whether this processor multiplies bfloat16 itself.
    public static var hasBF16: Bool { OneDNN.shared != nil && retort_has_bf16() != 0 }
    /// The type asked for, or float32 where the processor cannot do it fast.
    public var available: ComputeType { self == .bf16 && !Self.hasBF16 ? .f32 : self }
}

/// The library's engine and stream.
///
/// Calls go through one lock: its own threads do the work.
private final class OneDNN: @unchecked Sendable {
    static let shared = OneDNN()
    let engine: dnnl_engine_t
    let stream: dnnl_stream_t
    let lock = NSLock()

    private init?() {
        var engine: dnnl_engine_t?
        var stream: dnnl_stream_t?
        guard retort_engine(&engine, &stream) == dnnl_success, let engine, let stream else {
            return nil
        }
        self.engine = engine
        self.stream = stream
    }
}

/// A weight [out, in] made ready for products `x W^T`: bfloat16 in the library's own layout, or the
/// float32 matrix itself.
public final class PackedWeights: @unchecked Sendable {
    /// Rows of a product are computed in pieces of this size, so that few primitives are made.
    private static let rowBlock = 256

    /// The number of outputs (rows of the weight) and of inputs (columns).
    public let outputs: Int, inputs: Int
    private let plain: Matrix?
    private var packed: UnsafeMutableRawPointer?
    private var products: [Int: retort_matmul] = [:]
    private var layout = dnnl_memory_desc_t()

    /// Packs a weight for `x (rows, in) -> (rows, out)`.
    ///
    /// - Parameters:
    ///   - weight: [out, in], or [in, out] when `transposed` is false.
    ///   - transposed: Whether the product is with the transpose of `weight`, as for PyTorch's Linear.
    ///   - compute: bf16 falls back to f32 where the processor has no such instructions.
    public init(_ weight: Matrix, transposed: Bool = true, compute: ComputeType) {
        outputs = transposed ? weight.rows : weight.columns
        inputs = transposed ? weight.columns : weight.rows
        guard compute.available == .bf16, let library = OneDNN.shared, weight.isContiguous else {
            plain = weight
            self.transposed = transposed
            return
        }
        self.transposed = transposed
        var product = retort_matmul()
        library.lock.lock()
        defer { library.lock.unlock() }
        guard
            retort_matmul_create(
                library.engine,
                Int64(Self.rowBlock),
                Int64(outputs),
                Int64(inputs),
                nil,
                0,
                &product
            ) == dnnl_success
        else {
            plain = weight
            return
        }
        layout = product.weights
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(64, dnnl_memory_desc_get_size(&layout)),
            alignment: 64
        )
        guard
            retort_reorder(
                library.engine,
                library.stream,
                Int64(inputs),
                Int64(outputs),
                transposed ? 1 : 0,
                weight.base,
                &layout,
                memory
            ) == dnnl_success
        else {
            memory.deallocate()
            retort_matmul_destroy(&product)
            plain = weight
            return
        }
        plain = nil
        packed = memory
        products[Self.rowBlock << 1] = product
    }

    private let transposed: Bool

    deinit {
        for var product in products.values { retort_matmul_destroy(&product) }
        packed?.deallocate()
    }

    /// out (rows, outputs) = x (rows, inputs) times the weight; added to `out` when `accumulate`.
    public func multiply(_ x: Matrix, into out: Matrix, accumulate: Bool = false) {
        precondition(x.columns == inputs && out.columns == outputs && x.rows == out.rows, "shapes")
        if let plain {
            Tensors.multiply(
                x,
                plain,
                transposeB: transposed,
                into: out,
                beta: accumulate ? 1 : 0
            )
            return
        }
        guard let library = OneDNN.shared, let packed, x.rows > 0 else { return }
        let contiguous = x.isContiguous ? x : x.copied()
        let target = out.isContiguous ? out : out.copied()
        let source = UnsafeMutablePointer<UInt16>.allocate(capacity: max(1, x.count))
        defer { source.deallocate() }
        nonisolated(unsafe) let bits = source
        parallelRanges(x.count, minimum: 1 << 15) { range, _ in
            ck_to_bf16(
                contiguous.base + range.lowerBound,
                bits + range.lowerBound,
                range.count
            )
        }
        library.lock.lock()
        var start = 0
        while start < x.rows {
            let rows = min(Self.rowBlock, x.rows - start)
            run(
                library,
                rows: rows,
                source: source + start * inputs,
                target: target.base + start * outputs,
                packed: packed,
                accumulate: accumulate
            )
            start += rows
        }
        library.lock.unlock()
        if !out.isContiguous { out.assign(target) }
    }

    private func run(
        _ library: OneDNN,
        rows: Int,
        source: UnsafeMutablePointer<UInt16>,
        target: UnsafeMutablePointer<Float>,
        packed: UnsafeMutableRawPointer,
        accumulate: Bool
    ) {
        let key = rows << 1 | (accumulate ? 1 : 0)
        if products[key] == nil {
            var product = retort_matmul()
            let status = retort_matmul_create(
                library.engine,
                Int64(rows),
                Int64(outputs),
                Int64(inputs),
                &layout,
                accumulate ? 1 : 0,
                &product
            )
            precondition(status == dnnl_success, "oneDNN refused a \(rows)-row product")
            products[key] = product
        }
        guard var product = products[key] else { return }
        let status = retort_matmul_run(
            library.engine,
            library.stream,
            &product,
            source,
            packed,
            target
        )
        precondition(status == dnnl_success, "oneDNN failed in a matrix product")
    }
}

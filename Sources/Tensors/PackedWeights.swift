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

/// The threads that oneDNN uses for what one thread of ours asks of it.
enum OneDNNThreads {
    /// - Returns: The number before.
    @discardableResult
    static func set(_ count: Int) -> Int { Int(retort_set_threads(Int32(count))) }
}

/// The rows of a product's left side, rounded to bfloat16 once for all weights that they meet: the
/// pieces of a head.
///
/// Layers round their input for each weight anew: sharing it among queries, keys and values, and between
/// gate and up, changed no time that could be measured.
public struct PackedRows: @unchecked Sendable {
    let plain: Matrix
    /// `plain` in bfloat16, followed by rows of zeros up to a size that has a product; nil for float32.
    let bits: Matrix?

    /// - Parameters:
    ///   - x: (rows, in); not copied for f32, so it must keep its numbers until the last product.
    ///   - compute: The precision of the weights that will be used with it.
    public init(_ x: Matrix, compute: ComputeType) {
        plain = x
        guard compute.available == .bf16 else {
            bits = nil
            return
        }
        let rows = Self.padded(x.rows)
        // Two bfloat16 numbers have the room of one float.
        let bits = Matrix(uninitialized: 1, (rows * x.columns + 1) / 2)
        self.bits = bits
        let columns = x.columns
        bits.base.withMemoryRebound(to: UInt16.self, capacity: 2 * bits.count) { start in
            nonisolated(unsafe) let start = start
            if x.isContiguous {
                parallelRanges(x.count, minimum: 1 << 15) { range, _ in
                    ck_to_bf16(x.base + range.lowerBound, start + range.lowerBound, range.count)
                }
            } else {
                for row in 0..<x.rows { ck_to_bf16(x.row(row), start + row * columns, columns) }
            }
            (start + x.count).update(repeating: 0, count: (rows - x.rows) * columns)
        }
    }

    /// Rows of a product are computed in pieces of this size.
    static let block = 256
    /// A multiple of these rows needs no padding.
    public static let unit = 32

    /// `rows` up to the next size for which a product is made, so that few are: the last piece is any
    /// of 1 to 16 rows, as in generation, or a multiple of 32.
    static func padded(_ rows: Int) -> Int {
        let tail = rows % block
        return rows - tail + (tail <= 16 ? tail : (tail + unit - 1) / unit * unit)
    }
}

/// A weight [out, in] made ready for products `x W^T`: bfloat16 in the library's own layout, or the
/// float32 matrix itself.
public final class PackedWeights: @unchecked Sendable {
    /// The number of outputs (rows of the weight) and of inputs (columns).
    public let outputs: Int, inputs: Int
    private let plain: Matrix?
    private let transposed: Bool
    private var packed: UnsafeMutableRawPointer?
    private var products: [Product: retort_matmul] = [:]
    private var layout = dnnl_memory_desc_t()

    /// What a primitive is made for.
    private struct Product: Hashable {
        let rows: Int
        let accumulates: Bool
        /// Made for a thread that works alone: the library shares the work out when it makes one.
        let isAlone: Bool
    }

    /// Packs a weight for `x (rows, in) -> (rows, out)`.
    ///
    /// - Parameters:
    ///   - weight: [out, in], or [in, out] when `transposed` is false.
    ///   - transposed: Whether the product is with the transpose of `weight`, as for PyTorch's Linear.
    ///   - compute: bf16 falls back to f32 where the processor has no such instructions.
    public init(_ weight: Matrix, transposed: Bool = true, compute: ComputeType) {
        outputs = transposed ? weight.rows : weight.columns
        inputs = transposed ? weight.columns : weight.rows
        self.transposed = transposed
        guard compute.available == .bf16, let library = OneDNN.shared, weight.isContiguous else {
            plain = weight
            return
        }
        var product = retort_matmul()
        library.lock.lock()
        defer { library.lock.unlock() }
        guard
            retort_matmul_create(
                library.engine,
                Int64(PackedRows.block),
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
        products[Product(rows: PackedRows.block, accumulates: false, isAlone: Threads.isAlone)] =
            product
    }

    deinit {
        for var product in products.values { retort_matmul_destroy(&product) }
        packed?.deallocate()
    }

    /// out (rows, outputs) = x (rows, inputs) times the weight; added to `out` when `accumulate`.
    public func multiply(_ x: Matrix, into out: Matrix, accumulate: Bool = false) {
        let rows = PackedRows(x, compute: plain == nil ? .bf16 : .f32)
        multiply(rows, into: out, accumulate: accumulate)
    }

    /// out (rows, outputs) = x (rows, inputs) times the weight; added to `out` when `accumulate`.
    ///
    /// The same as for a plain matrix, but x is rounded only once however many weights it meets.
    public func multiply(_ x: PackedRows, into out: Matrix, accumulate: Bool = false) {
        let rows = x.plain.rows
        precondition(x.plain.columns == inputs && out.columns == outputs && rows == out.rows)
        if let plain {
            Tensors.multiply(
                x.plain,
                plain,
                transposeB: transposed,
                into: out,
                beta: accumulate ? 1 : 0
            )
            return
        }
        guard let library = OneDNN.shared, let packed, rows > 0 else { return }
        guard let bits = x.bits else {
            multiply(x.plain, into: out, accumulate: accumulate)
            return
        }
        bits.base.withMemoryRebound(to: UInt16.self, capacity: 2 * bits.count) { source in
            let isAlone = Threads.isAlone
            // One that works alone has a stream of its own; the others share the library's threads.
            var own: dnnl_stream_t?
            if isAlone {
                precondition(retort_stream(library.engine, &own) == dnnl_success, "oneDNN failed")
            } else {
                library.lock.lock()
                // For whichever thread of ours calls, else it takes all processors.
                OneDNNThreads.set(Threads.count)
            }
            defer {
                if let own { dnnl_stream_destroy(own) } else { library.lock.unlock() }
            }
            for start in stride(from: 0, to: rows, by: PackedRows.block) {
                let count = min(PackedRows.block, rows - start)
                let padded = PackedRows.padded(count)
                let part = out.slice(rows: start..<(start + count))
                if padded == count && part.isContiguous {
                    let key = Product(rows: count, accumulates: accumulate, isAlone: isAlone)
                    execute(library, own, key, source + start * inputs, part.base, packed)
                    continue
                }
                // The library is fast only with rows end to end, and `out` has no room for padding.
                let made = Matrix(uninitialized: padded, outputs)
                let key = Product(rows: padded, accumulates: false, isAlone: isAlone)
                execute(library, own, key, source + start * inputs, made.base, packed)
                for row in 0..<count {
                    if accumulate {
                        ck_add(part.row(row), made.row(row), outputs)
                    } else {
                        part.row(row).update(from: made.row(row), count: outputs)
                    }
                }
            }
        }
    }

    private func execute(
        _ library: OneDNN,
        _ own: dnnl_stream_t?,
        _ key: Product,
        _ source: UnsafeMutablePointer<UInt16>,
        _ target: UnsafeMutablePointer<Float>,
        _ packed: UnsafeMutableRawPointer
    ) {
        if own != nil { library.lock.lock() }
        if products[key] == nil {
            var product = retort_matmul()
            let status = retort_matmul_create(
                library.engine,
                Int64(key.rows),
                Int64(outputs),
                Int64(inputs),
                &layout,
                key.accumulates ? 1 : 0,
                &product
            )
            precondition(status == dnnl_success, "oneDNN refused a \(key.rows)-row product")
            products[key] = product
        }
        let known = products[key]
        if own != nil { library.lock.unlock() }
        guard var product = known else { return }
        let status = retort_matmul_run(
            library.engine,
            own ?? library.stream,
            &product,
            source,
            packed,
            target
        )
        precondition(status == dnnl_success, "oneDNN failed in a matrix product")
    }
}

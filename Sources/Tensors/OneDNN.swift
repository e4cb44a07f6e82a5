import COneDNN
import Dispatch
import Foundation
import Synchronization

/// The library's engine and stream.
///
/// The one file that imports it. Calls go through one lock: its own threads do the work.
final class OneDNN: @unchecked Sendable {
    static let shared = OneDNN()
    private let engine: dnnl_engine_t
    private let stream: dnnl_stream_t
    private let lock = NSLock()

    private init?() {
        var engine: dnnl_engine_t?
        var stream: dnnl_stream_t?
        guard retort_engine(&engine, &stream) == dnnl_success, let engine, let stream else {
            return nil
        }
        self.engine = engine
        self.stream = stream
        // Products are made for each number of rows, up to 160 KB of instructions apiece and less than a
        // millisecond to make again; the default is to keep 1,024 of them.
        dnnl_set_primitive_cache_capacity(128)
    }

    /// The library's version, and in hexadecimal the instructions that it uses (its `dnnl_cpu_isa_t`).
    static var name: String {
        guard let version = dnnl_version()?.pointee else { return "oneDNN" }
        let isa = String(dnnl_get_effective_cpu_isa().rawValue, radix: 16)
        return "oneDNN \(version.major).\(version.minor).\(version.patch) isa 0x\(isa)"
    }

    /// Whether the processor multiplies bfloat16 itself.
    static var hasBF16: Bool { shared != nil && retort_has_bf16() != 0 }

    /// What runs products: a stream of its own for a thread that works alone, else the shared one, which
    /// is locked.
    struct Runner {
        fileprivate let stream: dnnl_stream_t
        /// Made for a thread that works alone: the library shares the work out when it makes a product.
        let isAlone: Bool
    }

    func withRunner<Result>(_ body: (Runner) -> Result) -> Result {
        guard Threads.isAlone else {
            lock.lock()
            defer { lock.unlock() }
            // For whichever thread of ours calls, else it takes all processors.
            OneDNNThreads.set(Threads.count)
            return body(Runner(stream: stream, isAlone: false))
        }
        var own: dnnl_stream_t?
        let status = retort_stream(engine, &own)
        guard status == dnnl_success, let own else { preconditionFailure("oneDNN failed") }
        defer { dnnl_stream_destroy(own) }
        return body(Runner(stream: own, isAlone: true))
    }

    /// Runs `body`, which touches what threads that work alone share.
    func withLock<Result>(_ runner: Runner, _ body: () -> Result) -> Result {
        // The others hold it as long as they run.
        guard runner.isAlone else { return body() }
        lock.lock()
        defer { lock.unlock() }
        return body()
    }

    /// The shape of a product: target (m, n) float32 = source (m, k) times weights (k, n).
    struct Shape: Hashable {
        /// How weights lie.
        enum Weights {
            /// As the library chooses.
            case packed
            /// Row after row, or column after column.
            case rows, columns
        }

        let m: Int, n: Int, k: Int
        /// The type of both factors.
        let type: ComputeType
        /// The source lies column after column.
        var isTransposed = false
        var weights = Weights.packed
        /// Floats from one row of the target to the next.
        let targetStride: Int
        /// Added to what the target has.
        var accumulates = false

        fileprivate var product: retort_product {
            retort_product(
                m: Int64(m),
                n: Int64(n),
                k: Int64(k),
                is_bf16: type == .bf16 ? 1 : 0,
                src_row: Int64(isTransposed ? 1 : k),
                src_column: Int64(isTransposed ? m : 1),
                dst_row: Int64(targetStride),
                weights: weights == .packed
                    ? RETORT_ANY : weights == .rows ? RETORT_ROWS : RETORT_COLUMNS,
                accumulate: accumulates ? 1 : 0
            )
        }
    }

    /// A product ready to run.
    final class Product {
        fileprivate var matmul: retort_matmul

        fileprivate init(_ matmul: retort_matmul) { self.matmul = matmul }

        deinit { retort_matmul_destroy(&matmul) }
    }

    /// - Parameters:
    ///   - packed: Its layout is that of the weights.
    ///   - wanted: What the implementation's name must have in it.
    /// - Returns: Nil where there is no such implementation.
    func product(_ shape: Shape, packed: Packed? = nil, wanted: String? = nil) -> Product? {
        var (product, matmul) = (shape.product, retort_matmul())
        let status =
            if var layout = packed?.layout {
                retort_matmul_create(engine, &product, &layout, wanted, &matmul)
            } else {
                retort_matmul_create(engine, &product, nil, wanted, &matmul)
            }
        return status == dnnl_success ? Product(matmul) : nil
    }

    func run(
        _ product: Product,
        by runner: Runner,
        source: UnsafeMutableRawPointer,
        weights: UnsafeMutableRawPointer,
        target: UnsafeMutablePointer<Float>
    ) {
        let status = retort_matmul_run(
            engine,
            runner.stream,
            &product.matmul,
            source,
            weights,
            target
        )
        precondition(status == dnnl_success, "oneDNN failed in a matrix product")
    }

    /// Makes a product for this call alone, and runs it: the library remembers the last ones that it made.
    ///
    /// - Returns: False, and nothing is computed, where there is no such implementation.
    func run(
        _ shape: Shape,
        packed: Packed? = nil,
        wanted: String? = nil,
        source: UnsafeMutableRawPointer,
        weights: UnsafeMutableRawPointer,
        target: UnsafeMutablePointer<Float>
    ) -> Bool {
        withRunner { runner in
            guard let product = product(shape, packed: packed, wanted: wanted) else {
                return false
            }
            run(product, by: runner, source: source, weights: weights, target: target)
            return true
        }
    }

    /// Numbers in a layout that the library chose.
    struct Packed {
        fileprivate let layout: dnnl_memory_desc_t
        var numbers: Matrix

        fileprivate init(layout: dnnl_memory_desc_t) {
            self.layout = layout
            numbers = Matrix(uninitialized: 0, 0)
            makeRoom()
        }

        /// New memory for the numbers.
        mutating func makeRoom() {
            var layout = layout
            numbers = Matrix(uninitialized: 1, (dnnl_memory_desc_get_size(&layout) + 3) / 4)
        }
    }

    /// Packs the weights of a product in bfloat16.
    ///
    /// - Parameters:
    ///   - weight: (k, n), or (n, k) when `transposed`, rows end to end.
    ///   - rows: The layout is the best for so many rows, m.
    /// - Returns: Nil where the library cannot.
    func pack(_ weight: Matrix, transposed: Bool, rows: Int) -> Packed? {
        let n = transposed ? weight.rows : weight.columns
        let k = transposed ? weight.columns : weight.rows
        let shape = Shape(m: rows, n: n, k: k, type: .bf16, targetStride: n)
        return withRunner { runner in
            guard let product = product(shape) else { return nil }
            let packed = Packed(layout: product.matmul.weights)
            return pack(weight, transposed: transposed, into: packed, runner) ? packed : nil
        }
    }

    /// Packs changed numbers where the old ones were.
    func repack(_ weight: Matrix, transposed: Bool, into packed: Packed) {
        let isDone = withRunner { pack(weight, transposed: transposed, into: packed, $0) }
        precondition(isDone, "oneDNN failed to pack a weight")
    }

    private func pack(
        _ weight: Matrix,
        transposed: Bool,
        into packed: Packed,
        _ runner: Runner
    ) -> Bool {
        var layout = packed.layout
        let status = retort_reorder(
            engine,
            runner.stream,
            Int64(transposed ? weight.columns : weight.rows),
            Int64(transposed ? weight.rows : weight.columns),
            transposed ? 1 : 0,
            weight.base,
            &layout,
            packed.numbers.base
        )
        return status == dnnl_success
    }
}

/// The threads that oneDNN uses for what one thread of ours asks of it.
enum OneDNNThreads {
    /// - Returns: The number before.
    @discardableResult
    static func set(_ count: Int) -> Int { Int(retort_set_threads(Int32(count))) }

    /// Runs `body` for every index, handed out one by one, on the threads that the library uses for the calling one: threads of
    /// two kinds would wait for each other's processors, since the library's wait awake for a while.
    static func perform(_ count: Int, _ body: @Sendable (Int) -> Void) {
        let next = Atomic(0)
        let takeAll = {
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
        withoutActuallyEscaping(takeAll) { takeAll in
            var work = takeAll
            let isDone = withUnsafeMutablePointer(to: &work) {
                retort_parallel(
                    { $0?.assumingMemoryBound(to: (() -> Void).self).pointee() },
                    $0,
                    Int32(min(count, Threads.count))
                )
            }
            if isDone == 0 { DispatchQueue.concurrentPerform(iterations: count, execute: body) }
        }
    }
}

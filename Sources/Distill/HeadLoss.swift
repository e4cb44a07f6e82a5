import CKernels
import Tensors

/// Head products, losses and their gradients in chunks of rows, forward and backward in one pass.
///
/// A chunk's logits are computed, capped where their head caps them, replaced by the gradients of
/// the head's product, and multiplied back; nothing of rows x vocabulary is held beyond one chunk.
/// Students' and teachers' heads go through the same code.
public final class HeadLoss {
    /// Bytes that the logits of one chunk, and what is made of them, may take.
    public let memoryLimit: Int
    /// Kept from call to call: fresh memory would cost a page fault every 4 KiB.
    private var memory = Matrix(uninitialized: 1, 0)
    /// A row for each thread.
    private var scratch = Matrix(uninitialized: 1, 0)

    /// - Parameter memoryLimit: Bytes for one chunk of logits, 64 MiB by default.
    public init(memoryLimit: Int = 64 << 20) {
        self.memoryLimit = memoryLimit
    }

    /// States and the head that multiplies them.
    struct Operand {
        /// (rows, d).
        let hidden: Matrix
        /// W [V, d].
        let head: HeadProduct
        /// (rows, d), overwritten with the gradient by the states; nil where none is wanted.
        var dHidden: Matrix?
        /// Whether the head's own gradient is added to, if it has one.
        var learnsHead = false

        /// Whether anything is multiplied back.
        var goesBack: Bool { dHidden != nil || (learnsHead && head.gradient != nil) }
    }

    /// Calls `body` with chunks of rows and the logits of each operand, which it replaces by their
    /// gradients where the operand goes back.
    func forEachChunk(
        _ operands: [Operand],
        _ body: (_ rows: Range<Int>, _ logits: [Matrix]) -> Void
    ) {
        guard let rows = operands.first?.hidden.rows, rows > 0 else { return }
        let step = Self.chunkRows(
            rows,
            vocabulary: operands.reduce(0) { $0 + $1.head.vocabulary },
            memoryLimit: memoryLimit
        )
        // Rounded up so that every matrix starts on a cache line.
        let sizes = operands.map { Self.lines(step * $0.head.vocabulary) }
        let needed = sizes.reduce(0, +)
        if memory.columns < needed { memory = Matrix(uninitialized: 1, needed) }
        var offset = 0
        let buffers = zip(operands, sizes).map { operand, size in
            defer { offset += size }
            let width = operand.head.vocabulary
            return memory.slice(columns: offset..<(offset + step * width)).reshaped(step, width)
        }
        for start in stride(from: 0, to: rows, by: step) {
            let range = start..<min(start + step, rows)
            let logits = buffers.map { $0.slice(rows: 0..<range.count) }
            for (operand, logits) in zip(operands, logits) {
                operand.head.logits(operand.hidden.slice(rows: range), into: logits)
            }
            body(range, logits)
            for (operand, logits) in zip(operands, logits) where operand.goesBack {
                operand.head.backward(
                    logits,
                    hidden: operand.hidden.slice(rows: range),
                    dHidden: operand.dHidden?.slice(rows: range),
                    learns: operand.learnsHead
                )
            }
        }
    }

    /// Rows of a chunk: as many as the memory allows, in chunks of about one size, which is a
    /// multiple of what products like: 32, or at least 16.
    ///
    /// Logits are all that a chunk takes: gradients take their place, and are rounded in place.
    /// - Parameter vocabulary: Logits of a row, those of all operands together.
    static func chunkRows(_ rows: Int, vocabulary: Int, memoryLimit: Int) -> Int {
        let most = max(1, memoryLimit / max(1, 4 * vocabulary))
        guard rows > most else { return rows }
        let chunks = (rows + most - 1) / most
        let even = (rows + chunks - 1) / chunks
        let unit = 32
        let rounding = (even + unit - 1) / unit * unit
        if rounding <= most { return rounding }
        return most >= unit ? most / (unit / 2) * (unit / 2) : most
    }

    /// So many floats, up to a whole number of cache lines.
    static func lines(_ floats: Int) -> Int { (floats + 15) / 16 * 16 }

    /// Calls `body` once for every row on some thread, with that thread's scratch memory.
    ///
    /// - Parameter scratchSize: Floats.
    func forEachRow(
        _ count: Int,
        scratchSize: Int,
        _ body: @Sendable (_ row: Int, _ scratch: UnsafeMutablePointer<Float>) -> Void
    ) {
        // A cache line's worth of floats apart, so that 64-bit numbers fit as well.
        let size = Self.lines(scratchSize)
        if scratch.columns < size || scratch.rows < Threads.count {
            scratch = Matrix(uninitialized: Threads.count, size)
        }
        let scratch = scratch
        parallelRanges(count) { range, worker in
            for row in range { body(row, scratch.row(worker)) }
        }
    }

    /// The first index of the largest logit of each row.
    func largest(hidden: Matrix, head: HeadProduct) -> [UInt32] {
        var result = [UInt32](repeating: 0, count: hidden.rows)
        forEachChunk([Operand(hidden: hidden, head: head)]) { range, logits in
            result.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let result = buffer
                forEachRow(range.count, scratchSize: 0) { row, _ in
                    var index = 0
                    _ = ck_largest(logits[0].row(row), logits[0].columns, &index)
                    result[range.lowerBound + row] = UInt32(index)
                }
            }
        }
        return result
    }
}

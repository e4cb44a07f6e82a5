import CKernels

/// The precision in which matrix products are computed.
///
/// Sums are float32 in both.
public enum ComputeType: String, Sendable, Codable, CaseIterable {
    /// float32 throughout (OpenBLAS).
    case f32
    /// Factors rounded to bfloat16 (oneDNN); about twice as fast where the processor has it.
    case bf16

    /// Whether this processor multiplies bfloat16 itself.
    public static var hasBF16: Bool { OneDNN.hasBF16 }
    /// The type asked for, or float32 where the processor cannot do it fast.
    public var available: ComputeType { self == .bf16 && !Self.hasBF16 ? .f32 : self }
}

/// A weight [out, in] made ready for products `x W^T`: bfloat16 in the library's own layout, or the
/// float32 matrix itself.
public final class PackedWeights: @unchecked Sendable {
    /// The number of outputs (rows of the weight) and of inputs (columns).
    public let outputs: Int, inputs: Int
    private let plain: Matrix?
    private let transposed: Bool
    private var packed: OneDNN.Packed?
    private var products: [Key: OneDNN.Product] = [:]

    /// What a product is kept for.
    private struct Key: Hashable {
        let rows: Int
        let accumulates: Bool
        /// The library shares the work out when it makes one.
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
        let isRounded = compute.available == .bf16 && weight.isContiguous
        packed =
            isRounded
            ? OneDNN.shared?.pack(weight, transposed: transposed, rows: PackedRows.block) : nil
        plain = packed == nil ? weight : nil
    }

    /// Whether the numbers are bfloat16, apart from the weight's own.
    var isRounded: Bool { packed != nil }

    /// Gives the packed numbers' memory back until the next `repack`.
    func release() { packed?.numbers = Matrix(uninitialized: 0, 0) }

    /// Packs changed numbers of the weight where the old ones were.
    func repack(_ weight: Matrix) {
        guard let library = OneDNN.shared, packed != nil else { return }
        if packed?.numbers.count == 0 { packed?.makeRoom() }
        guard let packed else { return }
        precondition(
            weight.isContiguous && weight.rows == (transposed ? outputs : inputs)
                && weight.columns == (transposed ? inputs : outputs),
            "another weight"
        )
        library.repack(weight, transposed: transposed, into: packed)
    }

    private func shape(rows: Int, accumulates: Bool) -> OneDNN.Shape {
        OneDNN.Shape(
            m: rows,
            n: outputs,
            k: inputs,
            type: .bf16,
            targetStride: outputs,
            accumulates: accumulates
        )
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
            library.withRunner { multiply(source, into: out, accumulate, packed, library, $0) }
        }
    }

    /// out (rows, outputs) = x (rows, inputs) times the weight, in one piece whatever the number of rows;
    /// added to `out` when `accumulate`.
    ///
    /// For products so large that making one for their very number of rows costs nothing beside them; the
    /// rows of `out` lie end to end.
    func multiplyWhole(_ x: RoundedMatrix, into out: Matrix, accumulate: Bool = false) {
        guard let library = OneDNN.shared, let packed else { preconditionFailure("not packed") }
        precondition(
            x.columns == inputs && x.rows == out.rows && out.columns == outputs
                && out.isContiguous,
            "shapes differ"
        )
        guard out.rows > 0 else { return }
        let isDone = library.run(
            shape(rows: out.rows, accumulates: accumulate),
            packed: packed,
            source: x.bits,
            weights: packed.numbers.base,
            target: out.base
        )
        precondition(isDone, "oneDNN refused a \(out.rows)-row product")
    }

    /// Piece by piece, each of a number of rows for which products are kept.
    private func multiply(
        _ source: UnsafeMutablePointer<UInt16>,
        into out: Matrix,
        _ accumulate: Bool,
        _ packed: OneDNN.Packed,
        _ library: OneDNN,
        _ runner: OneDNN.Runner
    ) {
        for start in stride(from: 0, to: out.rows, by: PackedRows.block) {
            let count = min(PackedRows.block, out.rows - start)
            let padded = PackedRows.padded(count)
            let part = out.slice(rows: start..<(start + count))
            let isDirect = padded == count && part.isContiguous
            let key = Key(
                rows: padded,
                accumulates: isDirect && accumulate,
                isAlone: runner.isAlone
            )
            let product = library.withLock(runner) { self.product(key, packed, library) }
            // The library is fast only with rows end to end, and `out` has no room for padding.
            let target = isDirect ? part : Matrix(uninitialized: padded, outputs)
            library.run(
                product,
                by: runner,
                source: source + start * inputs,
                weights: packed.numbers.base,
                target: target.base
            )
            guard !isDirect else { continue }
            for row in 0..<count {
                if accumulate {
                    ck_add(part.row(row), target.row(row), outputs)
                } else {
                    part.row(row).update(from: target.row(row), count: outputs)
                }
            }
        }
    }

    private func product(
        _ key: Key,
        _ packed: OneDNN.Packed,
        _ library: OneDNN
    ) -> OneDNN.Product {
        if let known = products[key] { return known }
        let shape = shape(rows: key.rows, accumulates: key.accumulates)
        guard let made = library.product(shape, packed: packed) else {
            preconditionFailure("oneDNN refused a \(key.rows)-row product")
        }
        products[key] = made
        return made
    }
}

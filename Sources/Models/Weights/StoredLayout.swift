import Tensors

/// How the numbers of a parameter lie in the tensor that stores it.
///
/// Files of llama.cpp's converter hold some weights rearranged; reading undoes it exactly.
enum StoredLayout: Sendable, Equatable {
    /// As the model wants them.
    case plain
    /// The two halves of each head interleaved: row 2i of a head is its row i, row 2i + 1 its row
    /// i + headSize/2 (q and k of GGUF architecture llama).
    case interleavedHalves(headSize: Int)
    /// `[3, heads, headSize]` for `[heads, 3, headSize]` rows (GPT-NeoX's fused q, k and v).
    case queriesKeysValues(headCount: Int, headSize: Int)
    /// `[out, in]` for `[in, out]` (GPT-2's Conv1D weights).
    case transposed
    /// One more than the value (Gemma's norm weights).
    case onePlus

    /// The shape of the stored tensor for a parameter of the given shape.
    func storedShape(_ shape: [Int]) -> [Int] {
        self == .transposed ? shape.reversed() : shape
    }

    /// Whether a parameter of that shape can have been rearranged so.
    func fits(_ shape: [Int]) -> Bool {
        let count = shape.count > 1 ? shape.dropLast().reduce(1, *) : shape.last ?? 1
        return switch self {
        case .plain, .onePlus: true
        case .transposed: shape.count == 2
        case .interleavedHalves(let size): size > 0 && size % 2 == 0 && count % size == 0
        case .queriesKeysValues(let headCount, let size):
            headCount > 0 && size > 0 && count % (3 * size) == 0 && count / (3 * size) == headCount
        }
    }

    /// Reads rows of the parameter as float32.
    ///
    /// - Parameters:
    ///   - rows: A range of rows of `shape`; a vector is one row.
    ///   - shape: The parameter's shape, which `fits`; `storedShape` of it is the tensor's.
    ///   - name: The stored tensor's name.
    ///   - target: Room for those rows.
    /// - Throws: `ModelError` as `WeightSource.readRows`.
    func read(
        rows: Range<Int>,
        shape: [Int],
        of name: String,
        from source: any WeightSource,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        let columns = shape.last ?? 1
        switch self {
        case .plain:
            try Self.read(source, name, rows, columns, into: target)
        case .onePlus:
            try Self.read(source, name, rows, columns, into: target)
            for index in 0..<(rows.count * columns) { target[index] -= 1 }
        case .transposed:
            try readTransposed(rows, shape, name, source, into: target)
        case .interleavedHalves(let size), .queriesKeysValues(_, let size):
            try rearranged(rows, shape, name, source, group: size, into: target)
        }
    }

    /// Which row of the tensor holds a row of the parameter, for layouts that only move rows.
    private func place(_ row: Int) -> Int {
        switch self {
        case .plain, .onePlus, .transposed: return row
        case .interleavedHalves(let size):
            let within = row % size
            let half = size / 2
            return row - within + (within < half ? 2 * within : 2 * (within - half) + 1)
        case .queriesKeysValues(let headCount, let size):
            let (head, part) = (row / size / 3, row / size % 3)
            return (part * headCount + head) * size + row % size
        }
    }

    /// The numbers as the tensor has them: what `read` undoes.
    ///
    /// - Parameter values: A whole parameter of that shape, which `fits`; a vector is one row.
    func stored(_ values: Matrix, shape: [Int]) -> Matrix {
        switch self {
        case .plain: return values
        case .onePlus:
            let result = values.copied()
            for index in 0..<result.count { result.base[index] += 1 }
            return result
        case .transposed:
            let result = Matrix(uninitialized: values.columns, values.rows)
            for row in 0..<values.rows {
                for column in 0..<values.columns { result[column, row] = values[row, column] }
            }
            return result
        case .interleavedHalves, .queriesKeysValues:
            let result = Matrix(uninitialized: values.rows, values.columns)
            // Of a bias, which is one row, the elements move.
            let width = shape.count > 1 ? values.columns : 1
            for row in 0..<(values.count / width) {
                (result.base + place(row) * width)
                    .update(from: values.base + row * width, count: width)
            }
            return result
        }
    }

    private static func read(
        _ source: any WeightSource,
        _ name: String,
        _ rows: Range<Int>,
        _ columns: Int,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        try source.readRows(
            name,
            rows: rows,
            into: UnsafeMutableBufferPointer(start: target, count: rows.count * columns)
        )
    }

    /// Row r of the parameter is row `place(r)` of the tensor; `group` rows of the one are `group`
    /// neighbouring rows of the other in some order.
    private func rearranged(
        _ rows: Range<Int>,
        _ shape: [Int],
        _ name: String,
        _ source: any WeightSource,
        group: Int,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        guard shape.count > 1 else {
            // A bias: one row to the file, whose elements change places as rows do.
            let count = shape.last ?? 1
            let whole = Matrix(uninitialized: 1, count)
            try Self.read(source, name, rows, count, into: whole.base)
            for element in 0..<count { target[element] = whole.base[place(element)] }
            return
        }
        let columns = shape.last ?? 1
        let stored = Matrix(uninitialized: group, columns)
        var row = rows.lowerBound
        while row < rows.upperBound {
            let start = row - row % group
            // The group's first row in the file: `place` keeps to multiples of the group.
            let storedStart = place(start) - place(start) % group
            try Self.read(
                source,
                name,
                storedStart..<(storedStart + group),
                columns,
                into: stored.base
            )
            let end = min(start + group, rows.upperBound)
            for row in row..<end {
                (target + (row - rows.lowerBound) * columns)
                    .update(from: stored.row(place(row) - storedStart), count: columns)
            }
            row = end
        }
    }

    private func readTransposed(
        _ rows: Range<Int>,
        _ shape: [Int],
        _ name: String,
        _ source: any WeightSource,
        into target: UnsafeMutablePointer<Float>
    ) throws {
        let (inputs, outputs) = (shape.dropLast().reduce(1, *), shape.last ?? 1)
        let strip = 64
        let stored = Matrix(uninitialized: strip, inputs)
        for first in stride(from: 0, to: outputs, by: strip) {
            let part = first..<min(first + strip, outputs)
            try Self.read(source, name, part, inputs, into: stored.base)
            for row in rows {
                let out = target + (row - rows.lowerBound) * outputs
                for column in part { out[column] = stored[column - first, row] }
            }
        }
    }
}

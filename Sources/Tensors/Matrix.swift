import CKernels

/// Memory for floats, aligned for the widest vectors.
///
/// It lives as long as a matrix views it.
final class AlignedStorage: Sendable {
    nonisolated(unsafe) let base: UnsafeMutablePointer<Float>
    private nonisolated(unsafe) let raw: UnsafeMutableRawPointer
    /// Bytes of pages of its own; 0 when the memory is the allocator's.
    private let mappedBytes: Int

    init(count: Int) {
        let bytes = max(count, 1) * MemoryLayout<Float>.stride
        var size = 0
        if bytes >= Self.large, let pages = ck_map_pages(bytes, &size) {
            raw = pages
            mappedBytes = size
        } else {
            raw = .allocate(byteCount: bytes, alignment: 64)
            mappedBytes = 0
        }
        base = raw.bindMemory(to: Float.self, capacity: max(count, 1))
    }

    deinit {
        if mappedBytes > 0 { ck_unmap_pages(raw, mappedBytes) } else { raw.deallocate() }
    }

    /// From here on pages of its own pay.
    private static let large = 512 << 10
}

/// A view of `rows` x `columns` float32 numbers, rows `stride` floats apart.
///
/// Copies share the numbers: a matrix is a handle like a pointer, with shape checks. Writers of the
/// same numbers on several threads must write different rows.
public struct Matrix: @unchecked Sendable {
    let storage: AlignedStorage
    /// The first number of the first row.
    public let base: UnsafeMutablePointer<Float>
    /// The number of rows (tokens, as a rule).
    public let rows: Int
    /// The number of columns (channels, as a rule).
    public let columns: Int
    /// Floats from the start of one row to the next; `columns` where the rows lie end to end.
    public let stride: Int

    init(
        storage: AlignedStorage,
        base: UnsafeMutablePointer<Float>,
        rows: Int,
        columns: Int,
        stride: Int
    ) {
        self.storage = storage
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// A new matrix whose numbers are not set.
    public init(uninitialized rows: Int, _ columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a matrix of \(rows) x \(columns)")
        storage = AlignedStorage(count: rows * columns)
        base = storage.base
        self.rows = rows
        self.columns = columns
        stride = columns
    }

    /// A new matrix of zeros.
    public init(zeros rows: Int, _ columns: Int) {
        self.init(uninitialized: rows, columns)
        base.initialize(repeating: 0, count: rows * columns)
    }

    /// A new matrix with the given numbers, row after row.
    public init(_ values: [Float], rows: Int, columns: Int) {
        precondition(values.count == rows * columns, "\(values.count) for \(rows) x \(columns)")
        self.init(uninitialized: rows, columns)
        values.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            base.update(from: start, count: source.count)
        }
    }

    /// The number of elements, `rows * columns`.
    public var count: Int { rows * columns }
    /// Whether the rows lie end to end.
    public var isContiguous: Bool { stride == columns || rows <= 1 }

    /// The start of a row.
    public func row(_ index: Int) -> UnsafeMutablePointer<Float> {
        base + index * stride
    }

    /// A view of some of the rows.
    public func slice(rows range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "\(range) of \(rows) rows")
        return Matrix(
            storage: storage,
            base: base + range.lowerBound * stride,
            rows: range.count,
            columns: columns,
            stride: stride
        )
    }

    /// A view of some of the columns.
    public func slice(columns range: Range<Int>) -> Matrix {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= columns,
            "\(range) of \(columns) columns"
        )
        return Matrix(
            storage: storage,
            base: base + range.lowerBound,
            rows: rows,
            columns: range.count,
            stride: stride
        )
    }

    /// The same numbers seen with another shape.
    ///
    /// The rows must lie end to end.
    public func reshaped(_ rows: Int, _ columns: Int) -> Matrix {
        precondition(isContiguous && rows * columns == count, "\(self.rows) x \(self.columns)")
        return Matrix(storage: storage, base: base, rows: rows, columns: columns, stride: columns)
    }

    /// A copy with memory of its own.
    public func copied() -> Matrix {
        let result = Matrix(uninitialized: rows, columns)
        result.assign(self)
        return result
    }

    /// Copies the numbers of `other`, which has the same shape.
    public func assign(_ other: Matrix) {
        precondition(rows == other.rows && columns == other.columns, "shapes differ")
        for index in 0..<rows { row(index).update(from: other.row(index), count: columns) }
    }

    /// Sets every number.
    public func fill(_ value: Float) {
        for index in 0..<rows { row(index).update(repeating: value, count: columns) }
    }

    /// The numbers as an array, row after row.
    public var values: [Float] {
        var result: [Float] = []
        result.reserveCapacity(count)
        for index in 0..<rows {
            result.append(contentsOf: UnsafeBufferPointer(start: row(index), count: columns))
        }
        return result
    }

    /// One number, for tests and small uses.
    public subscript(_ row: Int, _ column: Int) -> Float {
        get { base[row * stride + column] }
        nonmutating set { base[row * stride + column] = newValue }
    }
}

import Tensors

/// The hidden states of a block of tokens between two layers, (tokens, D) float32: in memory, or in a
/// scratch file of which the groups that are worked on are in memory.
///
/// Several threads may use it for different rows.
final class Activations: Sendable {
    private let width: Int
    private let inMemory: Matrix?
    private let scratch: ScratchFile?

    /// Room for `tokens` rows of `width`, in a file of `directory` when one is given.
    ///
    /// - Throws: `CacheError` when the file cannot be made or does not fit on the disk.
    init(tokens: Int, width: Int, scratchIn directory: String?) throws {
        self.width = width
        if let directory {
            inMemory = nil
            scratch = try ScratchFile(directory: directory, size: tokens * width * 4)
        } else {
            inMemory = Matrix(uninitialized: tokens, width)
            scratch = nil
        }
    }

    /// Some of the rows, to be changed in place.
    func load(rows: Range<Int>) throws -> Matrix {
        if let inMemory { return inMemory.slice(rows: rows) }
        let target = Matrix(uninitialized: rows.count, width)
        let bytes = UnsafeMutableRawBufferPointer(start: target.base, count: target.count * 4)
        try scratch?.read(into: bytes, at: rows.lowerBound * width * 4)
        return target
    }

    /// Room for rows that are stored for the first time.
    func new(rows: Range<Int>) -> Matrix {
        inMemory?.slice(rows: rows) ?? Matrix(uninitialized: rows.count, width)
    }

    /// Keeps rows that `load` or `new` gave.
    func store(_ x: Matrix, rows: Range<Int>) throws {
        let bytes = UnsafeRawBufferPointer(start: x.base, count: x.count * 4)
        try scratch?.write(bytes, at: rows.lowerBound * width * 4)
    }

    /// Keeps a copy of rows that are changed elsewhere.
    func keep(_ x: Matrix, rows: Range<Int>) throws {
        let copy = new(rows: rows)
        copy.assign(x)
        try store(copy, rows: rows)
    }
}

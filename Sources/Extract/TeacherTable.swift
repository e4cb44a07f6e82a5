import Models
import Tensors

/// A table of the teacher, [rows, columns], of which rows are read when they are needed: the token
/// embedding, or the head.
struct TeacherTable {
    let rows: Int
    let columns: Int
    private let checkpoint: Checkpoint
    private let name: String
    private let shape: [Int]

    /// The table that `part` asks for, found by its name; nothing is read.
    init(_ checkpoint: Checkpoint, _ part: (any ParameterSource) throws -> Parameter) throws {
        do {
            _ = try part(Finder())
            preconditionFailure("an architecture made a table without its source")
        } catch let found as Found {
            self.checkpoint = checkpoint
            name = found.name
            shape = found.shape
            rows = found.shape.first ?? 0
            columns = found.shape.last ?? 0
        }
    }

    /// Reads rows as float32 into `target`, which has room for `range.count * columns`.
    ///
    /// - Throws: `ModelError` as the checkpoint does.
    func read(rows range: Range<Int>, into target: UnsafeMutablePointer<Float>) throws {
        try checkpoint.parameterRows(name, shape, rows: range, into: target)
    }

    /// Rows of the given ids, (n, columns), neighbours read together.
    ///
    /// - Parameter ids: Sorted, none twice, each below `rows`.
    func gather(_ ids: [UInt32]) throws -> Matrix {
        let result = Matrix(uninitialized: ids.count, columns)
        var start = 0
        while start < ids.count {
            var end = start + 1
            while end < ids.count, ids[end] == ids[end - 1] + 1 { end += 1 }
            let first = Int(ids[start])
            try read(rows: first..<(first + end - start), into: result.row(start))
            start = end
        }
        return result
    }

    private struct Found: Error {
        let name: String
        let shape: [Int]
    }

    /// A source that gives nothing but hears what is asked for.
    private struct Finder: ParameterSource {
        func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws
            -> Parameter
        {
            throw Found(name: name, shape: shape)
        }
    }
}

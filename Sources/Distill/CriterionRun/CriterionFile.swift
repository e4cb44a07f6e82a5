import Cache
import Foundation
import Tensors

/// The arrays of a criterion's input, each checked when it is read.
///
/// Errors name file, array, and the shape that was expected and the one that was found.
struct CriterionFile {
    let file: TensorFile

    static let layout = "docs/criterion-run.md has the layout."

    static func wrong(_ path: String, _ message: String, _ remedy: String) -> CacheError {
        CacheError(.mismatch, path: path, message, remedy: remedy)
    }

    func wrong(_ message: String, _ remedy: String = Self.layout) -> CacheError {
        Self.wrong(file.path, message, remedy)
    }

    func has(_ name: String) -> Bool { file.shape(of: name) != nil }

    /// Compares the shape of an array before it is read.
    ///
    /// - Parameters:
    ///   - expected: An extent, or nil where any will do.
    ///   - words: The expected shape in the layout's letters, such as `[n, d]`.
    func check(_ name: String, _ expected: [Int?], _ words: String) throws {
        guard let shape = file.shape(of: name) else { return }
        let fits =
            shape.count == expected.count
            && zip(shape, expected).allSatisfy { $1 == nil || $0 == $1 } && !shape.contains(0)
        guard !fits else { return }
        let numbers = expected.map { $0.map(String.init) ?? "?" }.joined(separator: ", ")
        throw wrong("'\(name)' has shape \(shape), not \(words) = [\(numbers)]")
    }

    // MARK: Floats

    /// A matrix of finite numbers; nil where there is none of that name.
    func matrix(_ name: String, _ expected: [Int?], _ words: String) throws -> Matrix? {
        guard let matrix = try logarithms(name, expected, words) else { return nil }
        try requireFinite(matrix, name)
        return matrix
    }

    /// A matrix that may hold anything.
    private func logarithms(
        _ name: String,
        _ expected: [Int?],
        _ words: String
    ) throws -> Matrix? {
        guard let shape = file.shape(of: name) else { return nil }
        try check(name, expected, words)
        let matrix = Matrix(uninitialized: shape.dropLast().reduce(1, *), shape.last ?? 1)
        try file.readFloats(name, into: .init(start: matrix.base, count: matrix.count))
        return matrix
    }

    /// Log-probabilities: at most 0, and perhaps minus infinity.
    func logProbabilities(_ name: String, _ expected: [Int?], _ words: String) throws -> Matrix? {
        guard let matrix = try logarithms(name, expected, words) else { return nil }
        // What rounding of stored numbers leaves above 0.
        for (index, value) in matrix.buffer.enumerated() where !(value <= 0.01) {
            throw wrong(
                "'\(name)'\(place(index, matrix)) is \(value), which is no log-probability",
                "Subtract log sum exp of the logits from them."
            )
        }
        return matrix
    }

    /// One number above 0, alone or in a row of one.
    func positive(_ name: String) throws -> Float? {
        guard let shape = file.shape(of: name) else { return nil }
        guard shape == [] || shape == [1] else {
            throw wrong("'\(name)' has shape \(shape), not [] or [1]")
        }
        let value = try file.floats(name).values[0]
        guard value > 0, value.isFinite else { throw wrong("'\(name)' is \(value), not above 0") }
        return value
    }

    private func requireFinite(_ matrix: Matrix, _ name: String) throws {
        guard let index = matrix.buffer.firstIndex(where: { !$0.isFinite }) else { return }
        throw wrong(
            "'\(name)'\(place(index, matrix)) is \(matrix.base[index])",
            "Numbers must be finite, as float32."
        )
    }

    private func place(_ index: Int, _ matrix: Matrix) -> String {
        matrix.rows == 1 ? "[\(index)]" : "[\(index / matrix.columns), \(index % matrix.columns)]"
    }

    // MARK: Integers

    /// Ids below `limit`, row after row.
    func ids(_ name: String, _ expected: [Int?], _ words: String, below limit: Int) throws
        -> [UInt32]?
    {
        guard has(name) else { return nil }
        try check(name, expected, words)
        let values = try file.integers(name).values
        let most = min(limit, Int(UInt32.max))
        if let index = values.firstIndex(where: { $0 < 0 || $0 >= most }) {
            throw wrong(
                "'\(name)' has \(values[index]) at element \(index), not an id from 0 to \(most - 1)",
                values[index] < 0
                    ? "Give the rows of supervised positions alone; others have no label."
                    : Self.layout
            )
        }
        return values.map { UInt32($0) }
    }

    /// Offsets from 0 on that do not fall.
    ///
    /// - Parameters:
    ///   - count: Their number; nil for any.
    ///   - end: The last of them; nil for any.
    func offsets(_ name: String, count: Int?, _ words: String, end: Int?) throws -> [Int]? {
        guard has(name) else { return nil }
        try check(name, [count], words)
        let values = try file.integers(name).values
        guard values.first == 0, values.count > 1 else {
            throw wrong("'\(name)' does not start with 0 and go on to an end")
        }
        if let index = values.indices.dropFirst().first(where: { values[$0] < values[$0 - 1] }) {
            throw wrong("'\(name)' falls from \(values[index - 1]) to \(values[index])")
        }
        if let end, values.last != end {
            throw wrong("'\(name)' ends with \(values.last ?? 0), not with the \(end) rows")
        }
        return values
    }

    /// One id, alone or in a row of one.
    func id(_ name: String, below limit: Int) throws -> UInt32? {
        guard let shape = file.shape(of: name) else { return nil }
        return try ids(name, shape.isEmpty ? [] : [1], "[] or [1]", below: limit)?.first
    }
}

extension Matrix {
    /// All numbers of a matrix whose rows lie end to end.
    fileprivate var buffer: UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: base, count: count)
    }
}

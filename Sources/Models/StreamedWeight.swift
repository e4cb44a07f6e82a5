import Tensors

/// A weight that is read a few rows at a time, so that a model larger than memory can be written anew.
public struct StreamedWeight {
    /// The name in a Hugging Face checkpoint.
    public let name: String
    /// `[rows, columns]`; a vector is one row.
    public let shape: [Int]
    /// Reads some rows as float32 into room for them.
    let read: (Range<Int>, UnsafeMutablePointer<Float>) throws -> Void

    var rowCount: Int { shape.dropLast().reduce(1, *) }
    var columns: Int { shape.last ?? 1 }
    var count: Int { rowCount * columns }

    /// The whole weight.
    func matrix() throws -> Matrix {
        let whole = Matrix(uninitialized: rowCount, columns)
        try read(0..<rowCount, whole.base)
        return whole
    }

    /// Calls `body` with the numbers, row after row, a few MiB at a time.
    func forEachStrip(_ body: (UnsafeBufferPointer<Float>) throws -> Void) throws {
        let height = max(1, (1 << 20) / max(1, columns))
        let strip = Matrix(uninitialized: min(height, rowCount), columns)
        for first in stride(from: 0, to: rowCount, by: height) {
            let rows = first..<min(first + height, rowCount)
            try read(rows, strip.base)
            try body(UnsafeBufferPointer(start: strip.base, count: rows.count * columns))
        }
    }

    /// The same with other rows after the first `kept`.
    ///
    /// - Parameters:
    ///   - kept: Rows that stay.
    ///   - count: Rows of the new weight.
    ///   - row: What every new row is.
    func resized(keeping kept: Int, to count: Int, filling row: [Float]) -> StreamedWeight {
        StreamedWeight(name: name, shape: [count, columns]) { [self] rows, target in
            let old = rows.clamped(to: 0..<kept)
            if !old.isEmpty { try read(old, target) }
            for place in rows where place >= kept {
                for (column, value) in row.enumerated() {
                    target[(place - rows.lowerBound) * columns + column] = value
                }
            }
        }
    }
}

/// The names and shapes of a model's weights, in the order in which an architecture asks for them.
final class ModelOutline: ParameterSource {
    private(set) var weights: [(name: String, shape: [Int])] = []
    private let check: (String, [Int]) throws -> Void

    /// - Parameter check: Called with each weight before room is made for it.
    init(_ architecture: any Architecture, check: @escaping (String, [Int]) throws -> Void) throws {
        self.check = check
        _ = try architecture.tokenEmbedding(from: self)
        _ = try architecture.positionEmbedding(from: self)
        // One block's room at a time, and none of it is touched.
        for index in 0..<architecture.configuration.layerCount {
            _ = try architecture.block(index, from: self)
        }
        _ = try architecture.finalNorm(from: self)
        if !architecture.configuration.tiesEmbeddings { _ = try architecture.head(from: self) }
    }

    func parameter(_ name: String, _ shape: [Int], _ initial: InitialValues) throws -> Parameter {
        try check(name, shape)
        weights.append((name, shape))
        return Parameter(
            name: name,
            shape: shape,
            value: Matrix(uninitialized: shape.dropLast().reduce(1, *), shape.last ?? 1)
        )
    }
}

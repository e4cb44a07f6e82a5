import Cache
import Foundation
import Tensors

/// What a criterion gives for a batch: its losses, and the gradients of their total.
public struct CriterionResult {
    /// A gradient and the shape of what it is of.
    public struct Gradient {
        /// Its extents.
        public var shape: [Int]
        /// Its numbers; those of a vector are one row.
        public var value: Matrix
    }

    /// `ce`, …, `total`: sums over positions over the number of supervised student positions.
    public var losses: [String: Double]
    /// Of `total`, by the names of the input: `student/hidden`, `projectors/t2s/weight`, ….
    public var gradients: [String: Gradient]

    /// Writes `loss/<name>` as single float64 numbers and `grad/<name>` as float32.
    ///
    /// - Throws: `CacheError`: `diskFull`, `io`.
    public func write(to url: URL) throws {
        let losses = losses.sorted { $0.key < $1.key }
        let gradients = gradients.sorted { $0.key < $1.key }
        let file = try ResultFile(
            url,
            losses.map { .init("loss/\($0.key)", .f64, []) }
                + gradients.map { .init("grad/\($0.key)", .f32, $0.value.shape) }
        )
        for (name, value) in losses {
            try withUnsafeBytes(of: value) { try file.append("loss/\(name)", $0) }
        }
        for (name, gradient) in gradients {
            let value = gradient.value
            for row in 0..<value.rows {
                let numbers = UnsafeBufferPointer(start: value.row(row), count: value.columns)
                try file.append("grad/\(name)", UnsafeRawBufferPointer(numbers))
            }
        }
        try file.finish()
    }
}

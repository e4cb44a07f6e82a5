import Foundation

/// How near answers come to their references.
public struct TextScores: Sendable {
    /// Of each answer, in order, 0 to 1.
    public private(set) var rougeL: [Double] = []
    /// See `rougeL`.
    public private(set) var exactMatch: [Double] = []
    private let measure: RougeL

    /// - Parameter measure: With stems, as the field reports it, or without.
    public init(measure: RougeL = RougeL()) { self.measure = measure }

    /// Adds an answer, held against the reference that is nearest to it.
    public mutating func add(_ prediction: String, references: [String]) {
        rougeL.append(measure(prediction, references: references))
        exactMatch.append(ExactMatch.score(prediction, references: references))
    }
}

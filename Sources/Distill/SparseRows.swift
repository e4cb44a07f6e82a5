import Foundation

/// Target distributions of which some tokens are known, row after row.
struct SparseRows: Sendable {
    /// (rows + 1) where each row's entries begin, and the end.
    private(set) var offsets = [0]
    /// Tokens, each once in a row.
    private(set) var ids: [UInt32] = []
    /// Their log-probabilities at temperature 1.
    private(set) var logs: [Float] = []
    /// The logarithm of the mass of all other tokens of each row; nil where they have none.
    private(set) var ghosts: [Float]?
    /// Entries of the longest row.
    private(set) var longest = 0

    /// A tail that rounding leaves without mass still has this much, so that logarithms are finite.
    private static let smallestTail = 1e-7

    /// No rows yet.
    ///
    /// - Parameter hasGhost: Whether tokens that are not known are one more outcome.
    init(hasGhost: Bool) {
        ghosts = hasGhost ? [] : nil
    }

    /// Adds a row.
    ///
    /// - Parameter ghost: Needed where rows have one; `tail(of:)` of the log-probabilities, as a rule.
    mutating func append(ids: some Sequence<UInt32>, logs: some Sequence<Float>, ghost: Float = 0) {
        self.ids += ids
        self.logs += logs
        precondition(self.ids.count == self.logs.count, "a token without its logarithm")
        longest = max(longest, self.ids.count - (offsets.last ?? 0))
        offsets.append(self.ids.count)
        ghosts?.append(ghost)
    }

    /// The logarithm of the mass that is left, 1 - sum exp.
    static func tail(of logs: some Sequence<Double>) -> Double {
        log(max(smallestTail, 1 - logs.reduce(0.0) { $0 + exp($1) }))
    }

    func withRow(
        _ row: Int,
        _ body: (UnsafePointer<UInt32>?, UnsafePointer<Float>?, Int, UnsafePointer<Float>?) -> Void
    ) {
        let (start, end) = (offsets[row], offsets[row + 1])
        ids.withUnsafeBufferPointer { ids in
            logs.withUnsafeBufferPointer { logs in
                let (ids, logs) = (ids.baseAddress, logs.baseAddress)
                if let ghosts {
                    var ghost = ghosts[row]
                    body(ids.map { $0 + start }, logs.map { $0 + start }, end - start, &ghost)
                } else {
                    body(ids.map { $0 + start }, logs.map { $0 + start }, end - start, nil)
                }
            }
        }
    }

    /// The probabilities of a row's tokens, and what is left for the others: nothing where there is no
    /// ghost, the known ones then being made to add up to one.
    func withSorted(_ row: Int, _ body: (UnsafePointer<Float>, Int, Float) -> Void) {
        var values = logs[offsets[row]..<offsets[row + 1]].map { exp(Double($0)) }
        let sum = values.reduce(0, +)
        if ghosts == nil { values = values.map { $0 / sum } }
        values.map { Float($0) }.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            body(base, buffer.count, ghosts == nil ? 0 : Float(max(0, 1 - sum)))
        }
    }
}

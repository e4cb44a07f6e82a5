/// The processes that train one student together, and what they tell each other.
///
/// Each has a rank, from 0. Every method but `abort` is called by all of them, in the same order: each waits
/// for the others.
public protocol Communicator: AnyObject, Sendable {
    /// This process's number, from 0.
    var rank: Int { get }
    /// How many processes there are.
    var count: Int { get }
    /// Those on this machine, this one among them.
    var localCount: Int { get }

    /// Processors that this process may run on, each divided by the processes that share it; nil where that
    /// is not known, or nobody shares them.
    var processors: Double? { get }

    /// Each number's sum over all ranks: the same bits everywhere.
    func sum(_ values: [Double]) -> [Double]

    /// Every rank's bytes, in the order of their ranks.
    func gather(_ bytes: [UInt8]) -> [[UInt8]]

    /// Begins to replace numbers by their sums over all ranks, and returns at once. Until the sum has ended
    /// nobody may touch them.
    func beginSum(_ values: UnsafeMutableBufferPointer<Float>) -> any PendingSum

    /// Ends all ranks at once with an exit code, whatever they do.
    func abort(_ code: Int32) -> Never

    /// Waits for all ranks; nothing may be called afterwards.
    func finish()
}

/// A sum over ranks on its way.
public protocol PendingSum: AnyObject {
    /// Returns when the sums are in place.
    func wait()
}

extension Communicator {
    /// Whether this is rank 0, which writes the files and speaks.
    public var isFirst: Bool { rank == 0 }

    /// Rank 0's number, everywhere.
    public func first(_ value: Double) -> Double { sum([isFirst ? value : 0])[0] }

    /// Whether any rank says so.
    public func any(_ isSo: Bool) -> Bool { sum([isSo ? 1 : 0])[0] > 0 }

    /// Returns when all ranks have called it.
    public func barrier() { _ = sum([0]) }
}

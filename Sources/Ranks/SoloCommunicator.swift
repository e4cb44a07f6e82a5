import Foundation

/// One process alone.
public final class SoloCommunicator: Communicator {
    /// 0.
    public let rank = 0
    /// 1.
    public let count = 1
    /// 1.
    public let localCount = 1

    /// Nobody shares them.
    public let processors: Double? = nil

    /// Nobody to find.
    public init() {}

    /// The numbers themselves.
    public func sum(_ values: [Double]) -> [Double] { values }

    /// These bytes.
    public func gather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }

    /// Nothing to do.
    public func beginSum(_ values: UnsafeMutableBufferPointer<Float>) -> any PendingSum { Done() }

    /// Ends this process.
    public func abort(_ code: Int32) -> Never { exit(code) }

    /// Nothing to wait for.
    public func finish() {}

    private final class Done: PendingSum {
        func wait() {}
    }
}

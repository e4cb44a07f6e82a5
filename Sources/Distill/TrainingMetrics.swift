import Foundation

/// One line of `metrics.jsonl`.
public struct TrainingMetrics: Codable, Sendable, Equatable, StepLine {
    /// Steps done, from 1, and how many the run has.
    public var step: Int
    /// See `step`.
    public var steps: Int
    /// Passes over the data done, with the fraction of the present one.
    public var epoch: Double
    /// Means over the step's supervised positions: `total`, `ce`, …, as `CriterionSums` names them.
    public var losses: [String: Double]
    /// Means over the held-out split, in lines that have them.
    public var heldOut: [String: Double]?
    /// The student's, as used in this step.
    public var learningRate: Double
    /// Before clipping; nil where it is not finite.
    public var gradientNorm: Double?
    /// Why the step changed nothing, `not_finite` or `loss_spike`; nil for a step that was applied.
    public var skipped: String?
    /// Steps skipped up to this one without one between them that was applied; nil for 0.
    public var skippedInARow: Int?
    /// Tokens the student ran over in this step, and a second.
    public var tokens: Int
    /// See `tokens`.
    public var tokensPerSecond: Double
    /// Useful floating-point operations (`TrainingOperations`) a second, over those of a plain matrix product
    /// on this machine; nil in lines of older versions, as are the next three.
    public var shareOfPeak: Double?
    /// Seconds of the step, and those of them until its examples were there; evaluations are not counted.
    public var seconds: Double?
    /// See `seconds`.
    public var dataSeconds: Double?
    /// The most memory that the process ever had resident, in MiB.
    public var memoryMiB: Double?
    /// Examples of this step; those cut to the longest length, and those left out.
    public var examples: Int
    /// See `examples`.
    public var cut: Int
    /// See `examples`.
    public var dropped: Int

    enum CodingKeys: String, CodingKey {
        case step, steps, epoch, losses, tokens, examples, cut, dropped, skipped
        case seconds
        case shareOfPeak = "share_of_peak"
        case dataSeconds = "data_seconds"
        case memoryMiB = "memory_mib"
        case heldOut = "held_out"
        case learningRate = "learning_rate"
        case gradientNorm = "gradient_norm"
        case skippedInARow = "skipped_in_a_row"
        case tokensPerSecond = "tokens_per_second"
    }
}

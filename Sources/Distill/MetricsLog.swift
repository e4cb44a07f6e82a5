import Foundation

/// One line of `metrics.jsonl`.
public struct TrainingMetrics: Codable, Sendable, Equatable {
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
    /// Examples of this step; those cut to the longest length, and those left out.
    public var examples: Int
    /// See `examples`.
    public var cut: Int
    /// See `examples`.
    public var dropped: Int

    enum CodingKeys: String, CodingKey {
        case step, steps, epoch, losses, tokens, examples, cut, dropped, skipped
        case heldOut = "held_out"
        case learningRate = "learning_rate"
        case gradientNorm = "gradient_norm"
        case skippedInARow = "skipped_in_a_row"
        case tokensPerSecond = "tokens_per_second"
    }
}

/// `metrics.jsonl`: a line a step, appended; after a resume it holds each step once.
final class MetricsLog {
    private let path: String
    private let descriptor: Int32
    private let encoder = JSONEncoder()
    /// The newest line.
    private(set) var last: TrainingMetrics?

    /// Keeps the lines of steps up to `step` and drops those that will be made again.
    ///
    /// - Throws: `DistillError.file`.
    init(_ url: URL, keepingSteps step: Int) throws {
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let old = (try? Data(contentsOf: url)) ?? Data()
        let decoder = JSONDecoder()
        var kept = Data()
        for line in old.split(separator: UInt8(ascii: "\n")) {
            guard let metrics = try? decoder.decode(TrainingMetrics.self, from: Data(line)),
                metrics.step <= step
            else { continue }
            kept += line + [UInt8(ascii: "\n")]
            last = metrics
        }
        try RunFiles.write(kept, to: url)
        path = url.path
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw RunFiles.unwritable(path, errno) }
    }

    /// A line cut short by a full disk is dropped when the log is opened again.
    ///
    /// - Throws: `DistillError.file`.
    func append(_ metrics: TrainingMetrics) throws {
        let line = try encoder.encode(metrics) + Data("\n".utf8)
        try RunFiles.append(line, to: descriptor, path: path)
        last = metrics
    }

    // Also runs when the file could not be opened: every stored property is set by then.
    deinit { if descriptor >= 0 { close(descriptor) } }
}

import Cache
import Distill
import Foundation

/// What a run's `metrics.jsonl` says, as curves and sums.
public struct RunHistory: Sendable {
    /// Parts of the loss, by name, in nats a token; some are shares of tokens (`LossPart`).
    public private(set) var losses: [String: [CurvePoint]] = [:]
    /// The same of the held-out split, at the steps where it was measured; `rouge_l` too, where answers were
    /// generated.
    public private(set) var heldOut: [String: [CurvePoint]] = [:]
    /// The student's.
    public private(set) var learningRate: [CurvePoint] = []
    /// Before clipping.
    public private(set) var gradientNorm: [CurvePoint] = []
    /// Tokens that the student ran over in a second.
    public private(set) var tokensPerSecond: [CurvePoint] = []
    /// Useful operations over those of a plain product.
    public private(set) var shareOfPeak: [CurvePoint] = []
    /// Steps that changed nothing, with the reason.
    public private(set) var skipped: [(step: Int, reason: String)] = []
    /// The newest line.
    public private(set) var last: TrainingMetrics?
    /// Sums over the steps.
    public private(set) var seconds = 0.0
    /// See `seconds`.
    public private(set) var dataSeconds = 0.0
    /// See `seconds`; those of the steps whose seconds are known.
    public private(set) var timedTokens = 0.0
    /// See `seconds`.
    public private(set) var examples = 0.0
    /// See `seconds`; those cut to the longest length.
    public private(set) var cut = 0.0
    /// See `seconds`; those left out.
    public private(set) var dropped = 0.0
    /// The most memory of the process, MiB.
    public private(set) var memoryMiB = 0.0
    /// Lines that could not be read.
    public private(set) var unreadable = 0

    /// More parts than any criterion has are not kept.
    private static let mostParts = 24

    /// Empty.
    public init() {}

    /// Everything that is in a run's file now.
    public init(_ directory: URL) {
        let tail = MetricsTail(directory.appendingPathComponent(Self.file))
        add(from: tail)
    }

    /// The file's name.
    public static let file = "metrics.jsonl"

    /// Seconds of a step, a mean over the last ones; nil before the first.
    public var secondsPerStep: Double? {
        recentSeconds.isEmpty ? nil : recentSeconds.reduce(0, +) / Double(recentSeconds.count)
    }

    private var recentSeconds: [Double] = []
    private static let recent = 32

    /// Adds what is new in a run's file.
    public mutating func add(from tail: MetricsTail) {
        tail.read { piece in
            switch piece {
            case .anew: self = RunHistory()
            case .line(let line): add(line)
            case .unreadable: unreadable += 1
            }
        }
    }

    private mutating func add(_ line: TrainingMetrics) {
        // Every whole number up to there is one that an axis can tell from the next.
        guard (1...1 << 50).contains(line.step) else {
            unreadable += 1
            return
        }
        let x = Double(line.step)
        last = line
        Self.add(line.losses, x, to: &losses)
        if let means = line.heldOut { Self.add(means, x, to: &heldOut) }
        Self.add(line.learningRate, x, to: &learningRate)
        if let norm = line.gradientNorm { Self.add(norm, x, to: &gradientNorm) }
        Self.add(line.tokensPerSecond, x, to: &tokensPerSecond)
        if let share = line.shareOfPeak { Self.add(share, x, to: &shareOfPeak) }
        // A stranger's line may hold any text, and any number.
        if let reason = line.skipped {
            skipped.append((line.step, DisplayText.cut(reason, to: 60)))
        }
        seconds += max(0, line.seconds ?? 0)
        if line.seconds != nil { timedTokens += max(0, Double(line.tokens)) }
        if let time = line.seconds, time >= 0 {
            recentSeconds.append(time)
            if recentSeconds.count > Self.recent { recentSeconds.removeFirst() }
        }
        dataSeconds += max(0, line.dataSeconds ?? 0)
        examples += max(0, Double(line.examples))
        cut += max(0, Double(line.cut))
        dropped += max(0, Double(line.dropped))
        memoryMiB = max(memoryMiB, line.memoryMiB ?? 0)
    }

    private static func add(
        _ means: [String: Double],
        _ x: Double,
        to curves: inout [String: [CurvePoint]]
    ) {
        for whole in ordered(means.keys) {
            let name = DisplayText.cut(whole, to: 60)
            guard let y = means[whole], curves[name] != nil || curves.count < mostParts else {
                continue
            }
            add(y, x, to: &curves[name, default: []])
        }
    }

    private static func add(_ y: Double, _ x: Double, to curve: inout [CurvePoint]) {
        // No loss, rate or speed is as large; what is would leave nothing else to be seen.
        guard y.isFinite, abs(y) < 1e12 else { return }
        curve.append(CurvePoint(x, y))
    }

    /// Parts of the loss in the order in which they are told: the total first.
    public static func ordered(_ names: some Sequence<String>) -> [String] {
        let first = ["total", "ce", "kd"]
        let all = Set(names)
        return first.filter(all.contains) + all.subtracting(first).sorted()
    }
}

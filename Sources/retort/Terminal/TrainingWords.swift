import Cache
import Distill
import Foundation

/// What training says on the console, a line each.
enum TrainingWords {
    /// Characters of a prompt and of an answer that are shown.
    private static let promptWidth = 40, answerWidth = 100

    /// The figures of a step: losses, the total first; speed; memory.
    static func figures(_ metrics: TrainingMetrics) -> String {
        var speed = [ProgressLine.count(metrics.tokensPerSecond) + " tokens/s"]
        if let share = metrics.shareOfPeak {
            speed.append(String(format: "%.0f%% of peak", 100 * share))
        }
        if let memory = metrics.memoryMiB {
            speed.append(ProgressLine.bytes(Int(memory * 0x1p20)))
        }
        return speed.joined(separator: ", ") + "  " + losses(metrics.losses)
    }

    /// Losses with their names, the total first.
    private static func losses(_ means: [String: Double]) -> String {
        let first = ["total", "ce", "kd"]
        let names = first + means.keys.filter { !first.contains($0) }.sorted()
        return names.compactMap { name in
            means[name].map { String(format: "%@ %.3f", name, $0) }
        }.joined(separator: "  ")
    }

    /// A step that changed nothing.
    static func skipped(_ metrics: TrainingMetrics, _ reason: String, patience: Int) -> String {
        let total = metrics.losses["total"].map { String(format: "%.3f", $0) } ?? "not a number"
        let why =
            reason == "loss_spike"
            ? "its loss, \(total), is far above the last ones" : "its gradient is not finite"
        return "step \(metrics.step) skipped, \(why) (\(metrics.skippedInARow ?? 1) in a row; "
            + "\(patience) end the run)"
    }

    /// Prompts and answers are anybody's, and are escaped.
    static func line(_ notice: TrainingNotice) -> String {
        switch notice {
        case .sample(let sample):
            let prompt = DisplayText.shortened(sample.prompt, to: promptWidth)
            let answer = DisplayText.shortened(sample.answer, to: answerWidth)
            return "step \(sample.step)  \(prompt)  ->  \(answer.isEmpty ? "(nothing)" : answer)"
        case .damagedCheckpoint(let path, let reason):
            return DisplayText.escaped(
                "warning: \(path): \(reason); going on from the checkpoint before it"
            )
        case .resumed(let step, let path):
            return "going on from step \(step), \(DisplayText.escaped(path))"
        case .finishedBefore:
            return "finished before; nothing to do"
        case .heldOut(let step, let means):
            return "step \(step), held out: \(losses(means))"
        case .best(let step, let path):
            return "step \(step) is among the best so far: \(DisplayText.escaped(path))"
        }
    }
}

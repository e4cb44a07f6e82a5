import Foundation

/// The learning rates' common factor.
struct LearningRateSchedule {
    let kind: DistillSettings.Schedule
    let warmupSteps: Int
    /// The last steps, over which `wsd` falls.
    let decaySteps: Int
    let totalSteps: Int
    /// What the factor ends at.
    let floor: Float

    init(_ settings: DistillSettings, totalSteps: Int) {
        kind = DistillSettings.Schedule(rawValue: settings.schedule) ?? .cosine
        warmupSteps = min(settings.warmupSteps, totalSteps)
        let tenth = max(1, totalSteps / 10)
        decaySteps = max(1, min(settings.decaySteps ?? tenth, totalSteps - warmupSteps))
        self.totalSteps = totalSteps
        floor = settings.learningRateFloor
    }

    /// The factor of a step, counted from 0: rises over the warm-up, is 1 after it, then falls.
    func factor(step: Int) -> Float {
        guard step >= warmupSteps else { return Float(step + 1) / Float(warmupSteps + 1) }
        let done = share(step, from: warmupSteps)
        return switch kind {
        case .constant: 1
        case .linear: line(done)
        case .cosine: floor + (1 - floor) * 0.5 * (1 + Foundation.cos(Float.pi * done))
        case .wsd: line(share(step, from: totalSteps - decaySteps))
        }
    }

    private func line(_ done: Float) -> Float { floor + (1 - floor) * (1 - done) }

    /// How much of the way from `start` to the end of the run lies behind, 0 to 1.
    private func share(_ step: Int, from start: Int) -> Float {
        min(1, Float(max(0, step - start)) / Float(max(1, totalSteps - start)))
    }
}

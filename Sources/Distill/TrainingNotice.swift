/// What a run has to say besides its figures.
public enum TrainingNotice: Sendable, Equatable {
    /// What the student answered.
    case sample(TrainingSample)
    /// A checkpoint that cannot be used, so that the run goes on from an older one.
    case damagedCheckpoint(path: String, reason: String)
    /// A student that is among the best so far, and where it lies.
    case best(step: Int, path: String)
}

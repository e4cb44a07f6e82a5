/// What a run has to say besides its figures.
public enum TrainingNotice: Sendable, Equatable {
    /// What the student answered.
    case sample(TrainingSample)
    /// A checkpoint that cannot be used, so that the run goes on from an older one.
    case damagedCheckpoint(path: String, reason: String)
    /// The step that a run goes on from, and where its checkpoint lies.
    case resumed(step: Int, path: String)
    /// The run was finished before, and its student is whole: nothing is done.
    case finishedBefore
    /// Means over the held-out split.
    case heldOut(step: Int, [String: Double])
    /// A student that is among the best so far, and where it lies.
    case best(step: Int, path: String)
}

/// What can go wrong between a cache and a trained student.
public enum DistillError: Error, Equatable, CustomStringConvertible {
    /// The cache holds no input embedding row of a token that occurs in it.
    case noEmbeddingRow(token: UInt32)
    /// A criterion that pairs positions met sides of unequal length.
    case unpairedPositions(criterion: String, example: Int, student: Int, teacher: Int)
    /// An example with supervised positions on one side only, or on neither.
    case emptyExample(example: Int)
    /// A name that is not known, with the nearest one that is.
    case unknownName(kind: String, name: String, nearest: String)
    /// A setting that makes no sense.
    case badSetting(key: String, value: String, remedy: String)
    /// The settings or the cache of a checkpoint, or of a finished run, are not those of this run.
    case differentRun(path: String, differences: [String])
    /// A checkpoint's file is missing or not as it should be.
    case badCheckpoint(path: String, reason: String)
    /// Too many steps in a row were skipped.
    case diverged(step: Int, inARow: Int)
    /// No example of the split can be trained on.
    case noExamples(split: String, remedy: String)
    /// The student's tokens or positions do not fit the model.
    case unfit(String)
    /// A file could not be written or read.
    case file(path: String, reason: String)

    /// Where it went wrong, what was found, and what to do.
    public var description: String {
        switch self {
        case .noEmbeddingRow(let token):
            "the cache holds no embedding row of teacher token \(token); run "
                + "`retort cache verify` on it, or extract it again"
        case .unpairedPositions(let criterion, let example, let student, let teacher):
            "\(criterion) pairs positions, but example \(example) of the batch has \(student) of "
                + "the student and \(teacher) of the teacher; use dskd_cma for two vocabularies"
        case .emptyExample(let example):
            "example \(example) of the batch has no supervised position on one side"
        case .unknownName(let kind, let name, let nearest):
            "there is no \(kind) \"\(name)\"; did you mean \"\(nearest)\"?"
        case .badSetting(let key, let value, let remedy):
            "distill.\(key): \(value) makes no sense; \(remedy)"
        case .differentRun(let path, let differences):
            "\(path) belongs to a run with other settings (\(differences.joined(separator: "; "))); "
                + "choose another output directory, or delete this one to start anew"
        case .badCheckpoint(let path, let reason):
            "\(path): \(reason); delete this checkpoint to go on from the one before"
        case .diverged(let step, let inARow):
            "step \(step): skipped \(inARow) times in a row, for gradients that are infinite or "
                + "undefined or losses that jumped (spike_factor); lower learning_rate or raise "
                + "warmup_steps"
        case .noExamples(let split, let remedy):
            "no example of split \"\(split)\" can be used; \(remedy)"
        case .unfit(let reason):
            reason
        case .file(let path, let reason):
            "\(path): \(reason)"
        }
    }
}

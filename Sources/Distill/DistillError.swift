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
    /// Files lie in the run's directory that a run would write over, and no run has made them.
    case outputTaken(path: String, name: String)
    /// A checkpoint's file is missing or not as it should be.
    case badCheckpoint(path: String, reason: String)
    /// Too many steps in a row were skipped.
    case diverged(step: Int, inARow: Int)
    /// A run takes more memory than the machine has.
    case noMemory(needed: Int, has: Int, parts: String)
    /// A run takes more of the disk than is free.
    case noSpace(path: String, needed: Int, free: Int, parts: String)
    /// The setting `dataset` names another file than the cache was made from.
    case otherDataset(path: String, found: String, cache: String, name: String, wanted: String)
    /// No example of the split can be trained on.
    case noExamples(split: String, remedy: String)
    /// The student's tokens or positions do not fit the model.
    case unfit(String)
    /// The ranks of a run do not do the same.
    case ranksDiffer(what: String, step: Int, ranks: [Int])
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
                + "choose another output directory, or delete the run's to start anew"
        case .outputTaken(let path, let name):
            "\(path): there is a \(name) here that no run of retort has made, and that this one would write "
                + "over; choose another output directory"
        case .badCheckpoint(let path, let reason):
            "\(path): \(reason); no other checkpoint of this run can be used: delete them to start anew"
        case .diverged(let step, let inARow):
            "step \(step): skipped \(inARow) times in a row, for gradients that are infinite or "
                + "undefined or losses that jumped (spike_factor); lower learning_rate or raise "
                + "warmup_steps"
                + (step == inARow
                    ? ", and look at the student's weights: no step at all could be applied" : "")
        case .noMemory(let needed, let has, let parts):
            "training takes about \(byteWords(needed)) of memory and this machine has "
                + "\(byteWords(has)) (\(parts)); lower pass_tokens, batch_examples or "
                + "batch_tokens, head_memory_mib or loader_memory_mib, give gradient_checkpointing or lora, leave out ema, or take a "
                + "smaller student"
        case .noSpace(let path, let needed, let free, let parts):
            "\(path): the run takes \(byteWords(needed)) more of the disk and \(byteWords(free)) "
                + "are free (\(parts)); lower keep_checkpoints or keep_best, or choose another "
                + "output, or make room"
        case .otherDataset(let path, let found, let cache, let name, let wanted):
            "distill.dataset: the cache \(cache) was not made from \(path) (SHA-256 \(found)) but from "
                + "\(name) (\(wanted.isEmpty ? "no SHA-256 is known" : "SHA-256 \(wanted)")); name "
                + "that file, extract a new cache, or leave dataset out"
        case .noExamples(let split, let remedy):
            "no example of split \"\(split)\" can be used; \(remedy)"
        case .unfit(let reason):
            reason
        case .ranksDiffer(let what, let step, let ranks):
            "step \(step): \(what) of rank \(ranks.map(String.init).joined(separator: ", ")) are not "
                + "those of rank 0; give all ranks the same files, settings and retort, on processors "
                + "of one kind"
        case .file(let path, let reason):
            "\(path): \(reason)"
        }
    }
}

import Cache
import Foundation

/// Which of several processes of one extraction this one is, and who says so.
public struct Worker: Sendable, Equatable, CustomStringConvertible {
    /// Number and count.
    public let place: CacheWorker
    /// The flag or the variables that said so.
    public let source: String
    /// True to do the dealt shards and no others, for an output of its own.
    public var onlyDealt = false

    /// "worker 3 of 8 (from SLURM_ARRAY_TASK_ID)".
    public var description: String { "\(place) (from \(source))" }

    init?(index: Int, count: Int, source: String) {
        guard let place = CacheWorker(index: index, count: count) else { return nil }
        self.place = place
        self.source = source
    }

    /// What `--worker` says: `I/N` with I from 0.
    ///
    /// - Throws: `ExtractError` naming the flag.
    public init(argument: String) throws {
        let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let index = Self.number(parts[0]),
            let count = Self.number(parts[1]),
            let worker = Worker(index: index, count: count, source: "--worker")
        else {
            throw ExtractError(
                .badSetting,
                "--worker",
                "\"\(argument)\" is not I/N",
                remedy: "Give I from 0 to N - 1, as in 0/4, or none"
            )
        }
        self = worker
    }

    /// What the scheduler's variables say; nil when they speak of one process, or of none.
    ///
    /// Tasks: a Slurm array, or else a Kubernetes Indexed Job. Ranks within a task: Open MPI, or
    /// else PMI, or else a Slurm step. With both, the workers are all ranks of all tasks. Without
    /// either, torchrun's variables count.
    /// - Throws: `ExtractError` naming the variable that makes no sense.
    public static func detect(_ environment: [String: String]) throws -> Worker? {
        let variables = Variables(environment: environment)
        let task = try variables.slurmArray() ?? variables.indexedJob()
        let rank =
            try variables.pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")
            ?? variables.pair("PMI_RANK", "PMI_SIZE")
            ?? variables.slurmStep()
        let found: Worker?
        switch (task, rank) {
        case (let task?, let rank?) where rank.place.count > 1:
            let (count, overflow) = task.place.count.multipliedReportingOverflow(
                by: rank.place.count
            )
            found =
                overflow
                ? nil
                : Worker(
                    index: task.place.index * rank.place.count + rank.place.index,
                    count: count,
                    source: "\(task.source) and \(rank.source)"
                )
        case (let task?, _): found = task
        case (nil, let rank?): found = rank
        case (nil, nil): found = try variables.pair("RANK", "WORLD_SIZE")
        }
        return found.flatMap { $0.place.count > 1 ? $0 : nil }
    }

    /// A plain decimal number from 0.
    fileprivate static func number(_ text: some StringProtocol) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }
}

/// Reads a scheduler's variables.
private struct Variables {
    let environment: [String: String]

    func slurmArray() throws -> Worker? {
        let name = "SLURM_ARRAY_TASK_ID"
        guard let id = try number(name) else { return nil }
        let first = try number("SLURM_ARRAY_TASK_MIN") ?? 0
        let step = try number("SLURM_ARRAY_TASK_STEP") ?? 1
        let count = try required("SLURM_ARRAY_TASK_COUNT", beside: name)
        guard step > 0, id >= first, (id - first) % step == 0,
            let worker = Worker(index: (id - first) / step, count: count, source: name)
        else {
            throw refusal(
                name,
                "\(id) is not one of \(count) tasks from \(first) in steps of \(step)",
                "Use an array without gaps, as in --array=0-7"
            )
        }
        return worker
    }

    /// A batch script has the first variable too, and the second only when it asked for tasks.
    func slurmStep() throws -> Worker? {
        environment["SLURM_NTASKS"] == nil ? nil : try pair("SLURM_PROCID", "SLURM_NTASKS")
    }

    /// Kubernetes tells a pod its index and not the number of completions.
    func indexedJob() throws -> Worker? { try pair("JOB_COMPLETION_INDEX", "RETORT_WORKERS") }

    func pair(_ rank: String, _ size: String) throws -> Worker? {
        guard let index = try number(rank) else { return nil }
        let count = try required(size, beside: rank)
        guard let worker = Worker(index: index, count: count, source: rank) else {
            throw refusal(rank, "\(index) is not below \(size) \(count)", "Check both")
        }
        return worker
    }

    private func required(_ name: String, beside other: String) throws -> Int {
        guard let value = try number(name) else {
            throw refusal(name, "not set, but \(other) is", "Set it to the number of workers")
        }
        return value
    }

    private func number(_ name: String) throws -> Int? {
        guard let text = environment[name] else { return nil }
        guard let value = Worker.number(text) else {
            throw refusal(name, "\"\(text)\" is not a number from 0", "Correct it")
        }
        return value
    }

    private func refusal(_ name: String, _ what: String, _ remedy: String) -> ExtractError {
        ExtractError(
            .badSetting,
            name,
            what,
            remedy: "\(remedy), or give --worker I/N, or --worker none"
        )
    }
}

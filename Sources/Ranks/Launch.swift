import Foundation

/// How this process was started: alone, or with others by `mpirun` or `srun`.
public struct Launch: Equatable, Sendable {
    /// Processes that were started together; nil where none of the variables is there.
    public let count: Int?

    /// Reads the variables of Open MPI's `mpirun`, and those of `srun --mpi=pmix`.
    ///
    /// Slurm's alone say nothing: processes of one step may well have nothing to do with each other.
    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let isPMIx = environment["PMIX_RANK"] != nil
        let text =
            environment["OMPI_COMM_WORLD_SIZE"]
            ?? (isPMIx ? environment["SLURM_STEP_NUM_TASKS"] : nil)
        count = text.flatMap { Int($0) }
    }

    /// The processes that were started together, over MPI; this one alone where it was started alone.
    ///
    /// - Throws: `RanksError`.
    public func communicator() throws -> any Communicator {
        guard let count else { return SoloCommunicator() }
        #if MPI
            let found = try MPICommunicator()
            guard found.count == count else {
                throw RanksError.separate(launched: count, found: found.count)
            }
            return found
        #else
            guard count == 1 else { throw RanksError.notBuilt(launched: count) }
            return SoloCommunicator()
        #endif
    }
}

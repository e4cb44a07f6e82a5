/// Why processes that were started together cannot train together.
public enum RanksError: Error, Equatable, CustomStringConvertible {
    /// They were started together, and this build has no MPI.
    case notBuilt(launched: Int)
    /// MPI did not start; -1 where its build lets one thread alone call it.
    case cannotStart(code: Int)
    /// MPI does not know of all that the launcher started.
    case separate(launched: Int, found: Int)

    /// What was found, and what to do.
    public var description: String {
        switch self {
        case .notBuilt(let launched):
            "this is one of \(launched) processes that mpirun or srun started, and this retort is built "
                + "without MPI; build it with `swift build -c release --product retort --traits MPI` "
                + "(after `apt-get install libopenmpi-dev`), or start one process"
        case .cannotStart(let code):
            "MPI does not start "
                + (code < 0
                    ? "with calls from more than one thread (MPI_THREAD_SERIALIZED); take a build "
                        + "of MPI that has them" : "(MPI's error \(code)); see what it says above")
        case .separate(let launched, let found):
            "\(launched) processes were started, and MPI knows of \(found); take the mpirun of the MPI "
                + "that retort is built with, or `srun --mpi=pmix`"
        }
    }
}

import Testing

@testable import Ranks

@Suite("Launch")
struct LaunchTests {
    @Test(
        "mpirun and srun --mpi=pmix say how many were started; Slurm's own variables do not",
        arguments: [
            ([:], nil), (["OMPI_COMM_WORLD_SIZE": "4"], 4),
            (["OMPI_COMM_WORLD_SIZE": "four"], nil),
            (["PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "3"], 3),
            (["SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "1"], nil),
        ] as [([String: String], Int?)]
    )
    func count(environment: [String: String], wanted: Int?) {
        #expect(Launch(environment: environment).count == wanted)
    }

    @Test("a process that was started alone is rank 0 of 1")
    func alone() throws {
        let ranks = try Launch(environment: [:]).communicator()
        #expect((ranks.rank, ranks.count, ranks.localCount) == (0, 1, 1))
    }

    #if !MPI
        @Test("without MPI several processes are refused, with the command that builds it in")
        func refused() throws {
            let launch = Launch(environment: ["OMPI_COMM_WORLD_SIZE": "2"])
            #expect(throws: RanksError.notBuilt(launched: 2)) { try launch.communicator() }
            #expect("\(RanksError.notBuilt(launched: 2))".contains("--traits MPI"))
            // One process under mpirun is one process.
            #expect(
                try Launch(environment: ["OMPI_COMM_WORLD_SIZE": "1"]).communicator().count == 1
            )
        }
    #endif
}

@Suite("One rank")
struct SoloCommunicatorTests {
    @Test("sums, bytes and answers of one rank are its own")
    func own() {
        let solo = SoloCommunicator()
        #expect(solo.isFirst)
        #expect(solo.sum([1, -2.5]) == [1, -2.5])
        #expect(solo.gather([3, 1]) == [[3, 1]])
        #expect(solo.first(7) == 7)
        #expect(solo.any(true) && !solo.any(false))
        solo.barrier()
        solo.finish()
    }

    @Test("a sum that is begun leaves one rank's numbers as they are")
    func pending() {
        var values: [Float] = [1, 2, 3]
        values.withUnsafeMutableBufferPointer { SoloCommunicator().beginSum($0).wait() }
        #expect(values == [1, 2, 3])
    }
}

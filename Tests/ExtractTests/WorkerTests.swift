import Cache
import Foundation
import TestSupport
import Testing

@testable import Extract

@Suite("Which worker this is")
struct WorkerTests {
    private static let array = [
        "SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4",
        "SLURM_ARRAY_TASK_STEP": "2",
    ]
    private static let step = ["SLURM_PROCID": "1", "SLURM_NTASKS": "3"]
    private static let mpi = ["OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"]

    private func worker(_ environment: [String: String]...) throws -> String? {
        try Worker.detect(environment.reduce(into: [:]) { $0.merge($1) { $1 } })?.description
    }

    @Test("schedulers are recognised by their variables")
    func detection() throws {
        #expect(try worker([:]) == nil)
        #expect(try worker(Self.array) == "worker 3 of 4 (from SLURM_ARRAY_TASK_ID)")
        #expect(try worker(Self.step) == "worker 1 of 3 (from SLURM_PROCID)")
        #expect(try worker(Self.mpi) == "worker 0 of 2 (from OMPI_COMM_WORLD_RANK)")
        #expect(
            try worker(["PMI_RANK": "4", "PMI_SIZE": "5"]) == "worker 4 of 5 (from PMI_RANK)"
        )
        #expect(
            try worker(["JOB_COMPLETION_INDEX": "2", "RETORT_WORKERS": "3"])
                == "worker 2 of 3 (from JOB_COMPLETION_INDEX)"
        )
        #expect(try worker(["RANK": "1", "WORLD_SIZE": "2"]) == "worker 1 of 2 (from RANK)")
        #expect(try worker(["RANK": "0", "WORLD_SIZE": "1"]) == nil, "one process is no worker")
        // What a batch script of Slurm has although it is no step.
        #expect(try worker(["SLURM_PROCID": "0", "SLURM_NTASKS": "1"]) == nil)
        #expect(try worker(["SLURM_PROCID": "0"]) == nil)
    }

    @Test("ranks within a task count with the tasks, and mpirun before Slurm's step")
    func precedence() throws {
        #expect(
            try worker(Self.array, Self.step)
                == "worker 10 of 12 (from SLURM_ARRAY_TASK_ID and SLURM_PROCID)"
        )
        #expect(try worker(Self.step, Self.mpi) == "worker 0 of 2 (from OMPI_COMM_WORLD_RANK)")
        #expect(
            try worker(Self.mpi, ["RANK": "5", "WORLD_SIZE": "6"])
                == "worker 0 of 2 (from OMPI_COMM_WORLD_RANK)"
        )
        #expect(
            try worker(Self.array, ["JOB_COMPLETION_INDEX": "0", "RETORT_WORKERS": "9"])
                == "worker 3 of 4 (from SLURM_ARRAY_TASK_ID)"
        )
    }

    @Test(
        "what makes no sense is refused with the variable's name",
        arguments: [
            (["SLURM_ARRAY_TASK_ID": "x"], "SLURM_ARRAY_TASK_ID"),
            (["SLURM_ARRAY_TASK_ID": "1"], "SLURM_ARRAY_TASK_COUNT"),
            (
                ["SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2"],
                "SLURM_ARRAY_TASK_ID"
            ),
            (["SLURM_PROCID": "3", "SLURM_NTASKS": "3"], "SLURM_PROCID"),
            (["SLURM_PROCID": "-1", "SLURM_NTASKS": "3"], "SLURM_PROCID"),
            (["JOB_COMPLETION_INDEX": "1"], "RETORT_WORKERS"),
            (["JOB_COMPLETION_INDEX": "0", "RETORT_WORKERS": "0"], "JOB_COMPLETION_INDEX"),
            (["PMI_RANK": "0", "PMI_SIZE": ""], "PMI_SIZE"),
            (["RANK": "99999999999999999999", "WORLD_SIZE": "2"], "RANK"),
        ]
    )
    func refusals(environment: [String: String], name: String) {
        let error = #expect(throws: ExtractError.self) { try Worker.detect(environment) }
        #expect(error?.place == name && error?.kind == .badSetting)
        #expect(error?.remedy.contains("--worker none") == true)
    }

    @Test("the flag is I/N with I from 0", arguments: ["", "1", "1/", "/2", "2/2", "-1/2", "0/0"])
    func flag(text: String) throws {
        let error = #expect(throws: ExtractError.self) { try Worker(argument: text) }
        #expect(error?.place == "--worker")
        #expect(try Worker(argument: "1/2").description == "worker 1 of 2 (from --worker)")
    }

    @Test("every worker would do every shard, its own first; with --only-dealt each is one's")
    func order() throws {
        var dealt: [Int] = []
        for index in 0..<3 {
            var worker = try Worker(argument: "\(index)/3")
            let order = WorkerOrder(shards: 11, worker: worker)
            #expect(order.shards.sorted() == Array(0..<11) && order.writesTeacher)
            worker.onlyDealt = true
            let own = WorkerOrder(shards: 11, worker: worker)
            #expect(order.shards.starts(with: own.shards))
            #expect(own.writesTeacher == (index == 0))
            dealt += own.shards
        }
        #expect(dealt.sorted() == Array(0..<11))
        #expect(WorkerOrder(shards: 2, worker: nil).shards == [0, 1])
    }
}

@Suite("Extraction by workers")
struct WorkerExtractionTests {
    /// More than four shards of 1 MiB.
    private func settings(_ folder: URL) throws -> ExtractSettings {
        var settings = ExtractSettings(
            teacher: try TinyTeacher.make(in: folder).path,
            data: try TinyTeacher.dataset(in: folder, count: 60).path,
            output: folder.appendingPathComponent("cache").path
        )
        settings.maxLength = 128
        settings.maxPromptLength = 64
        settings.topK = 250
        settings.shardMiB = 1
        return settings
    }

    private func manifest(_ settings: ExtractSettings) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: settings.output + "/manifest.json"))
    }

    @Test("parts with outputs of their own make the cache of one run, and so does one worker alone")
    func parts() throws {
        try withFolder { folder in
            let whole = try settings(folder)
            #expect(try Extraction(whole).run().isComplete)
            var shards = 0
            var parts: [URL] = []
            for index in 0..<2 {
                var part = whole
                part.output = folder.appendingPathComponent("part-\(index)").path
                var worker = try Worker(argument: "\(index)/2")
                worker.onlyDealt = true
                let outcome = try Extraction(part).run(worker: worker)
                #expect(!outcome.isComplete && outcome.isTeacherMissing == (index == 1))
                shards += outcome.shardCount - outcome.missingShards.count
                #expect(outcome.shardCount >= 3)
                parts.append(URL(fileURLWithPath: part.output))
                if index == 1 { #expect(shards == outcome.shardCount) }
            }
            var merged = whole
            merged.output = folder.appendingPathComponent("merged").path
            let merger = try CacheMerger(
                parts: parts,
                output: URL(fileURLWithPath: merged.output)
            )
            #expect(try merger.merge()?.isComplete == true)
            #expect(try manifest(merged) == manifest(whole))
            var alone = whole
            alone.output = folder.appendingPathComponent("alone").path
            #expect(try Extraction(alone).run(worker: Worker(argument: "3/4")).isComplete)
            #expect(try manifest(alone) == manifest(whole))
        }
    }

    @Test("a worker that is stopped gives its claim back")
    func stopped() throws {
        try withFolder { folder in
            let settings = try settings(folder)
            let error = #expect(throws: ExtractError.self) {
                try Extraction(settings).run(worker: Worker(argument: "1/2"), shouldStop: { true })
            }
            #expect(error?.kind == .stopped)
            let names = try FileManager.default.contentsOfDirectory(atPath: settings.output)
            #expect(!names.contains("claims"))
            #expect(try Extraction(settings).run(worker: Worker(argument: "0/2")).isComplete)
        }
    }

    @Test("a worker whose claim was taken leaves the shard to the taker and goes on")
    func lostClaim() throws {
        try withFolder { folder in
            let settings = try settings(folder)
            let claim = settings.output + "/claims/shard-0.claim"
            var isTaken = false
            let outcome = try Extraction(settings).run(
                worker: Worker(argument: "0/2"),
                progress: { _ in
                    guard !isTaken, FileManager.default.fileExists(atPath: claim) else { return }
                    // What a taker does, in the name of a machine that will not finish.
                    isTaken = unlink(claim) == 0
                    try? Data("{}".utf8).write(to: URL(fileURLWithPath: claim))
                }
            )
            #expect(isTaken && outcome.missingShards == [0])
            #expect(FileManager.default.fileExists(atPath: claim))
        }
    }
}

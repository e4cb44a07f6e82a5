import Foundation
import TestSupport
import Testing

/// The examples of pipelines/, with what schedulers set.
@Suite("Workers of schedulers")
struct WorkerSchedulerTests {
    private static let script = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("pipelines/extract-slurm.sh")

    private static let hasMPI = ["/usr/bin/mpirun", "/usr/local/bin/mpirun"].contains {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    private let settings = [
        "teacher=teacher", "data=data.jsonl", "output=cache", "max_length=128",
        "max_prompt_length=64", "top_k=250", "shard_mib=1",
    ].flatMap { ["--set", $0] }

    /// Starts a command with these variables and none that a scheduler around the tests has set.
    private func start(
        _ command: [String],
        _ variables: [String: String],
        in folder: URL
    ) throws -> (process: Process, errors: URL) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = folder
        var environment = ProcessInfo.processInfo.environment.filter { name, _ in
            !["SLURM_", "OMPI_", "PMI", "JOB_", "RANK", "WORLD_"].contains {
                name.hasPrefix($0)
            }
        }
        environment["RETORT"] = RetortProcess.executable.path
        process.environment = environment.merging(variables) { $1 }
        let errors = folder.appendingPathComponent("\(UUID().uuidString).err")
        try Data().write(to: errors)
        process.standardError = try FileHandle(forWritingTo: errors)
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (process, errors)
    }

    private func run(
        _ command: [String],
        _ variables: [[String: String]],
        in folder: URL
    ) throws -> [String] {
        try variables.map { try start(command, $0, in: folder) }.map { process, errors in
            process.waitUntilExit()
            let text = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
            #expect(process.terminationStatus == 0, "\(text)")
            return text
        }
    }

    private func expectWhole(_ folder: URL) throws {
        let result = try RetortProcess.run(["cache", "verify", "cache"], in: folder)
        #expect(result.code == 0, "\(result.output) \(result.errors)")
    }

    private func prepare(_ folder: URL) throws {
        _ = try TinyTeacher.make(in: folder)
        _ = try TinyTeacher.dataset(in: folder, count: 60)
    }

    @Test("the Slurm script is a worker of the array, also by hand; its file may be a pipeline's")
    func slurm() throws {
        try withFolder { folder in
            try prepare(folder)
            let file = folder.appendingPathComponent("extract.yaml")
            let lines = settings.filter { $0 != "--set" }.map {
                $0.replacingOccurrences(of: "=", with: ": ")
            }
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            let array = ["SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "2"]
            let texts = try run(
                [Self.script.path, "extract.yaml", "--set", "block_tokens=500"],
                (0..<2).map { array.merging(["SLURM_ARRAY_TASK_ID": "\($0)"]) { $1 } },
                in: folder
            )
            for (index, text) in texts.enumerated() {
                #expect(text.contains("worker \(index) of 2 (from SLURM_ARRAY_TASK_ID)"))
            }
            try expectWhole(folder)
        }
    }

    @Test("mpirun -n 2 gives two workers", .enabled(if: hasMPI))
    func mpi() throws {
        try withFolder { folder in
            try prepare(folder)
            let texts = try run(
                ["mpirun", "--oversubscribe", "-n", "2", Self.script.path] + settings,
                [["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]],
                in: folder
            )
            for index in 0..<2 {
                #expect(texts[0].contains("worker \(index) of 2 (from OMPI_COMM_WORLD_RANK)"))
            }
            try expectWhole(folder)
        }
    }

    @Test("the pods of an Indexed Job are its workers")
    func kubernetes() throws {
        try withFolder { folder in
            try prepare(folder)
            let texts = try run(
                [RetortProcess.executable.path, "extract"] + settings,
                (0..<3).map { ["JOB_COMPLETION_INDEX": "\($0)", "RETORT_WORKERS": "3"] },
                in: folder
            )
            #expect(texts[2].contains("worker 2 of 3 (from JOB_COMPLETION_INDEX)"))
            try expectWhole(folder)
            let lost = try start(
                [RetortProcess.executable.path, "extract"] + settings,
                ["JOB_COMPLETION_INDEX": "0"],
                in: folder
            )
            lost.process.waitUntilExit()
            #expect(lost.process.terminationStatus == 64)
            let text = String(decoding: try Data(contentsOf: lost.errors), as: UTF8.self)
            #expect(text.contains("RETORT_WORKERS: not set, but JOB_COMPLETION_INDEX is"))
        }
    }
}

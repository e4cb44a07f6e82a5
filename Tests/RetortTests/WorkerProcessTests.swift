import Cache
import Foundation
import TestSupport
import Testing

@Suite("Workers")
struct WorkerProcessTests {
    private func prepare(_ folder: URL, examples: Int) throws {
        _ = try TinyTeacher.make(in: folder)
        _ = try TinyTeacher.dataset(in: folder, count: examples)
    }

    private func arguments(_ output: String, _ more: String...) -> [String] {
        let settings = [
            "teacher=teacher", "data=data.jsonl", "output=\(output)", "max_length=128",
            "max_prompt_length=64",
            "top_k=250", "shard_mib=1",
        ]
        return ["extract"] + settings.flatMap { ["--set", $0] } + more
    }

    private func manifest(_ folder: URL, _ cache: String) throws -> Data {
        try Data(contentsOf: folder.appendingPathComponent("\(cache)/manifest.json"))
    }

    /// Starts a worker of `shared` and stops it while it holds a shard.
    ///
    /// On a busy machine it may be done before it is looked at: then another try.
    private func startedInShard(_ worker: String, in folder: URL) throws -> RetortProcess {
        let shared = folder.appendingPathComponent("shared")
        let claims = shared.appendingPathComponent("claims")
        for _ in 0..<20 {
            let process = try RetortProcess(arguments("shared", "--worker", worker), in: folder)
            func hasShard() -> Bool {
                let names = try? FileManager.default.contentsOfDirectory(atPath: claims.path)
                return names?.contains { $0.hasPrefix("shard-") } == true
            }
            while process.isRunning {
                if hasShard() {
                    process.send(SIGSTOP)
                    // Until the signal has arrived.
                    usleep(10_000)
                    if hasShard() { return process }
                    process.send(SIGCONT)
                }
                usleep(1_000)
            }
            #expect(try process.wait().code == 0)
            try FileManager.default.removeItem(at: shared)
        }
        throw CocoaError(.fileNoSuchFile)
    }

    @Test("of four workers one is killed in a shard; the others complete the cache of one run")
    func killed() throws {
        try withFolder { folder in
            try prepare(folder, examples: 240)
            let single = try RetortProcess.run(arguments("single", "--worker", "none"), in: folder)
            #expect(single.code == 0, "\(single.errors)")
            let claims = folder.appendingPathComponent("shared/claims")
            let victim = try startedInShard("3/4", in: folder)
            let others = try (0..<3).map {
                try RetortProcess(arguments("shared", "--worker", "\($0)/4"), in: folder)
            }
            victim.send(SIGKILL)
            #expect(try victim.wait().code == 128 + SIGKILL)
            for (index, other) in others.enumerated() {
                let result = try other.wait()
                #expect(result.code == 0, "\(result.errors)")
                #expect(result.errors.contains("worker \(index) of 4 (from --worker)"))
            }
            #expect(try manifest(folder, "shared") == manifest(folder, "single"))
            let verified = try RetortProcess.run(["cache", "verify", "shared"], in: folder)
            #expect(verified.code == 0, "\(verified.output)")
            #expect(!FileManager.default.fileExists(atPath: claims.path))
            let reader = try CacheReader(
                directory: folder.appendingPathComponent("shared")
            )
            #expect(reader.shardCount >= 8)
        }
    }

    @Test("a worker that is asked to stop ends with 75, gives its shard back, and goes on later")
    func asked() throws {
        try withFolder { folder in
            try prepare(folder, examples: 120)
            let claims = folder.appendingPathComponent("shared/claims")
            let worker = try startedInShard("0/2", in: folder)
            worker.send(SIGTERM)
            worker.send(SIGCONT)
            let stopped = try worker.wait()
            #expect(stopped.code == 75, "\(stopped.errors)")
            #expect(stopped.errors.contains("Run the same command again to go on"))
            #expect(!FileManager.default.fileExists(atPath: claims.path))
            let again = try RetortProcess.run(arguments("shared", "--worker", "0/2"), in: folder)
            #expect(again.code == 0, "\(again.errors)")
            #expect(try RetortProcess.run(["cache", "verify", "shared"], in: folder).code == 0)
        }
    }

    @Test("while one works, another that finds nothing left says so and ends well")
    func leftOver() throws {
        try withFolder { folder in
            try prepare(folder, examples: 40)
            let first = try startedInShard("0/2", in: folder)
            let second = try RetortProcess.run(arguments("shared", "--worker", "1/2"), in: folder)
            #expect(second.code == 0, "\(second.errors)")
            #expect(second.errors.contains("shards still being written by others"))
            let refused = try RetortProcess.run(arguments("shared"), in: folder)
            #expect(refused.code == 74, "\(refused.errors)")
            first.send(SIGCONT)
            #expect(try first.wait().code == 0)
            #expect(try RetortProcess.run(["cache", "verify", "shared"], in: folder).code == 0)
        }
    }

    @Test("parts made apart are merged, twice; a missing part is named with exit code 66")
    func merge() throws {
        try withFolder { folder in
            try prepare(folder, examples: 60)
            for index in 0..<2 {
                let part = try RetortProcess.run(
                    arguments("part-\(index)", "--worker", "\(index)/2", "--only-dealt"),
                    in: folder
                )
                #expect(part.code == 0 && part.errors.contains("retort cache merge part-\(index)"))
            }
            let half = try RetortProcess.run(["cache", "merge", "part-1", "out"], in: folder)
            #expect(half.code == 66 && half.errors.contains("shards 0, 2"), "\(half.errors)")
            #expect(half.errors.contains("and teacher.h5 missing"), "\(half.errors)")
            for _ in 0..<2 {
                let merged = try RetortProcess.run(
                    ["cache", "merge", "part-0", "part-1", "out"],
                    in: folder
                )
                #expect(merged.code == 0 && merged.output.contains("complete"), "\(merged.errors)")
            }
            #expect(try RetortProcess.run(["cache", "verify", "out"], in: folder).code == 0)
            let single = try RetortProcess.run(arguments("single", "--worker", "none"), in: folder)
            #expect(single.code == 0)
            #expect(try manifest(folder, "out") == manifest(folder, "single"))
            #expect(try RetortProcess.run(["cache", "merge", "out"], in: folder).code == 64)
        }
    }

    @Test("a flag or a variable that makes no sense is a usage error that names it")
    func refused() throws {
        try withFolder { folder in
            let bad = try RetortProcess.run(arguments("x", "--worker", "4/4"), in: folder)
            #expect(bad.code == 64 && bad.errors.contains("--worker"))
            let alone = try RetortProcess.run(
                arguments("x", "--worker", "none", "--only-dealt"),
                in: folder
            )
            #expect(alone.code == 64 && alone.errors.contains("--only-dealt"))
        }
    }
}

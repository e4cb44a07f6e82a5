import Cache
import Foundation
import TestSupport
import Testing

@Suite("Memory of the command")
struct MemoryTests {
    @Test("a teacher of five times the budget runs in it, and makes the same cache as with more")
    func fiveTimes() throws {
        try withFolder { folder in
            let width = 512
            let (teacher, bytes) = try WideTeacher.make(
                in: folder,
                layers: 58,
                width: width,
                vocabulary: 8_192
            )
            let arguments = [
                "extract", "--set", "teacher=\(teacher.path)",
                "--set", "data=\(try TinyTeacher.dataset(in: folder, count: 30).path)",
                "--set", "max_length=96", "--set", "max_prompt_length=48", "--set", "top_k=4",
                "--set", "shard_mib=2", "--set", "compute=f32",
            ]
            let refused = try RetortProcess.run(
                arguments + ["--set", "output=none", "--memory", "1MiB"],
                in: folder
            )
            #expect(refused.code == 64)
            let words = refused.errors.components(separatedBy: "at least ")
            let least = try #require(Int(words.last?.prefix { $0.isNumber } ?? ""), "\(refused)")
            #expect(bytes > 5 * (least << 20), "\(bytes) bytes of weights, \(least) MiB at least")

            let plan = try RetortProcess.run(
                arguments + [
                    "--set", "output=none", "--memory", "\(least)MiB", "--dry-run", "--json",
                ],
                in: folder
            )
            #expect(plan.code == 0, "\(plan.errors)")
            let memory = try #require(
                (JSONSerialization.jsonObject(with: Data(plan.output.utf8)) as? [String: Any])?[
                    "memory"
                ] as? [String: Any]
            )
            // Whether the states of the block fit as well depends on a few MiB of the process itself.
            #expect(memory["head"] as? Int == 0, "\(memory)")

            let small = try peak(
                arguments + ["--set", "output=\(folder.path)/small", "--memory", "\(least)MiB"],
                in: folder
            )
            #expect(small.code == 0)
            #expect(small.bytes <= (least << 20) * 11 / 10, "\(small.bytes >> 20) of \(least) MiB")
            let large = try peak(
                arguments + ["--set", "output=\(folder.path)/large", "--memory", "4GiB"],
                in: folder
            )
            #expect(large.code == 0)
            #expect(try files(folder, "small") == files(folder, "large"))
        }
    }

    private func files(_ folder: URL, _ name: String) throws -> [String] {
        let cache = folder.appendingPathComponent(name)
        return try CacheReader(directory: cache).manifest.files
            .map { "\($0.path) \($0.sha256)" }.sorted()
    }

    /// Runs the command and looks for the most memory that it had resident.
    private func peak(_ arguments: [String], in folder: URL) throws -> (code: Int32, bytes: Int) {
        var words = ([RetortProcess.executable.path] + arguments).map { strdup($0) } + [nil]
        var variables =
            ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in words + variables { free(word) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let log = folder.appendingPathComponent("log").path
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var process: pid_t = 0
        let path = RetortProcess.executable.path
        try #require(posix_spawn(&process, path, &actions, nil, &words, &variables) == 0)
        var status: Int32 = 0
        var most = 0
        // The usage that wait4 gives begins with the peak of the process that started it, which runs
        // other tests beside this one; /proc has that of the command alone while it runs.
        while waitpid(process, &status, WNOHANG) == 0 {
            most = max(most, Self.mostResident(process))
            usleep(1000)
        }
        return (status, most)
    }

    private static func mostResident(_ process: pid_t) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }
}

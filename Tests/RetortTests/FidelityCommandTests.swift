import Distill
import Foundation
import Models
import TestSupport
import Testing

@Suite("The command cache fidelity")
struct FidelityCommandTests {
    private func extract(in folder: URL, _ more: String...) throws {
        _ = try TinyTeacher.make(in: folder)
        _ = try TinyTeacher.dataset(in: folder, count: 20)
        let settings =
            [
                "teacher=teacher", "data=data.jsonl", "output=cache", "max_length=128",
                "max_prompt_length=64",
            ] + more
        let result = try RetortProcess.run(
            ["extract"] + settings.flatMap { ["--set", $0] },
            in: folder
        )
        #expect(result.code == 0, "\(result.errors)")
    }

    private func report(_ folder: URL, _ more: String...) throws -> FidelityReport {
        let result = try RetortProcess.run(
            ["cache", "fidelity", "cache", "--json"] + more,
            in: folder
        )
        #expect(result.code == 0, "\(result.errors)")
        return try JSONDecoder().decode(FidelityReport.self, from: Data(result.output.utf8))
    }

    @Test("a run of the teacher finds what the cache's own numbers cannot tell")
    func teacher() throws {
        try withFolder { folder in
            try extract(in: folder)
            let alone = try report(folder, "--rows", "40")
            #expect(alone.rows == 40 && alone.yardstick == nil)
            #expect(alone.options.first { $0.name == "hidden bf16" }?.figures.isEmpty == true)
            let made = try report(folder, "--teacher", "teacher", "--split", "train")
            func kl(_ name: String) -> Double? {
                made.options.first { $0.name == name }?.at(1)?.kl
            }
            #expect(made.examples == 16 && made.rows > 100)
            #expect(kl("hidden f32") == 0)
            // The cache was made by the same run, so that it differs by its rounding alone.
            let (stored, rounded) = (kl("this cache (hidden bf16)"), kl("hidden bf16"))
            let (a, b) = (try #require(stored), try #require(rounded))
            #expect(a > 0 && abs(a - b) < 0.02 * b)
            #expect(kl("hidden f16") ?? 1 < b)
            let table = try RetortProcess.run(
                ["cache", "fidelity", "cache", "--teacher", "teacher", "--temperatures", "1"],
                in: folder
            )
            #expect(
                table.code == 0 && table.output.contains("below the yardstick at temperature 1")
            )
        }
    }

    @Test("an f32 cache is exact itself")
    func exact() throws {
        try withFolder { folder in
            try extract(in: folder, "hidden_dtype=f32")
            let made = try report(folder)
            #expect(made.options.allSatisfy { !$0.figures.isEmpty || $0.name.contains("head") })
        }
    }

    @Test("mistakes are refused with what to do")
    func mistakes() throws {
        try withFolder { folder in
            try extract(in: folder)
            let other = folder.appendingPathComponent("other")
            try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
            let stranger = try TinyTeacher.make(in: other)
            let config = stranger.appendingPathComponent("config.json")
            let text = try String(contentsOf: config, encoding: .utf8)
            try (text + " ").write(to: config, atomically: true, encoding: .utf8)
            for (arguments, code, words) in [
                (["cache", "--split", "test"], 65, "held_out"),
                (["cache", "--teacher", "gone"], 66, "gone"),
                (["cache", "--teacher", "other/teacher"], 65, "its weights"),
                (["gone"], 66, "gone"), (["cache", "--temperatures", "1,x"], 64, "such as 1,2"),
                (["cache", "--softness", "1"], 64, "--softness"),
                (["cache", "--rows", "-1"], 64, "--rows"),
                (["cache", "--adapter", "a"], 64, "--teacher"),
            ] as [([String], Int32, String)] {
                let result = try RetortProcess.run(["cache", "fidelity"] + arguments, in: folder)
                #expect(result.code == code, "\(arguments): \(result.errors)")
                #expect(result.errors.contains(words), "\(result.errors)")
            }
        }
    }
}

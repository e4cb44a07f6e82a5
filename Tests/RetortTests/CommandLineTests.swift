import Foundation
import TestSupport
import Testing

@Suite("The command line")
struct CommandLineTests {
    @Test("every command has help with an example")
    func help() throws {
        try withFolder { folder in
            for command in [
                ["extract"], ["distill"], ["eval"], ["generate"], ["run"], ["cache", "inspect"],
                ["cache", "verify"], ["cache", "export"], ["cache", "diff"], ["cache", "card"],
                ["model", "info"], ["model", "new"], ["model", "prune"],
                ["model", "resize"], ["model", "merge"], ["model", "export"], ["model", "logits"],
                ["tokenize"],
            ] {
                let result = try RetortProcess.run(command + ["--help"], in: folder)
                #expect(
                    result.code == 0
                        && result.output.contains("retort \(command.joined(separator: " "))")
                )
                #expect(result.output.contains("Example"), "\(command)")
            }
        }
    }

    @Test(
        "mistakes exit with the code and the words that a person needs",
        arguments: [
            (["extrct"], 64, "extrct"), (["run"], 64, "file"),
            (["run", "nowhere.yaml"], 66, "nowhere.yaml"),
            (["run", "bad.yaml"], 64, "bad.yaml:3: unknown key \"extract.blok_tokens\""),
            (["run", "bad.yaml"], 64, "did you mean \"block_tokens\"?"),
            (
                ["extract", "--set", "teacher=t", "--set", "data=gone.jsonl", "--set", "output=o"],
                66, "gone.jsonl"
            ),
            (
                [
                    "extract", "--set", "teacher=t", "--set", "data=empty.jsonl", "--set",
                    "output=o",
                ], 65, "no examples"
            ),
            (
                [
                    "extract", "--set", "teacher=cut.gguf", "--set", "data=one.jsonl", "--set",
                    "output=o",
                ], 65, "cut.gguf"
            ),
            (
                [
                    "extract", "--set", "teacher=strange", "--set", "data=one.jsonl", "--set",
                    "output=o",
                ], 65, "unknown architecture \"mamba\""
            ),
            (["model", "info", "nowhere"], 66, "nowhere"),
            (["model", "infoo", "nowhere"], 64, "infoo"),
            (["tokenize", "nowhere", "one.jsonl"], 66, "nowhere"),
            (["tokenize", "nowhere", "gone.jsonl"], 66, "gone.jsonl"),
            (["tokenize", "cut.gguf", "one.jsonl"], 65, "cut.gguf"),
            (["tokenize", "m", "one.jsonl", "--jsno"], 64, "--jsno"),
            (["cache", "verify", "nowhere"], 66, "nowhere"),
            (
                [
                    "distill", "--set", "cache=c", "--set", "output=o", "--set", "student.from=s",
                    "--set", "learning_rate=0",
                ], 66, "c"
            ),
            (
                [
                    "distill", "--set", "cache=c", "--set", "output=o", "--set", "student.from=s",
                    "--resume",
                ], 66, "o: there is no checkpoint"
            ),
            (
                ["distill", "--set", "cache=c", "--set", "output=o", "--set", "student.form=s"], 64,
                "student.form"
            ),
            (
                ["generate", "--model", "m", "--prompts", "gone.jsonl", "--output", "o"], 66,
                "gone.jsonl"
            ),
            (
                ["generate", "--model", "m", "--prompts", "p", "--output", "o", "--top-p", "2"], 64,
                "--top-p"
            ),
        ]
    )
    func mistakes(arguments: [String], code: Int32, words: String) throws {
        try withFolder { folder in
            func write(_ name: String, _ text: String) throws {
                let url = folder.appendingPathComponent(name)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try Data(text.utf8).write(to: url)
            }
            try write("bad.yaml", "output: o\nextract:\n  blok_tokens: 3\n")
            try write("empty.jsonl", "\n")
            try write("one.jsonl", "{\"prompt\": \"a\", \"response\": \"b\"}\n")
            try write("cut.gguf", "GGUF\u{3}\u{0}\u{0}\u{0}")
            try write("strange/config.json", "{\"model_type\": \"mamba\"}")
            let result = try RetortProcess.run(arguments, in: folder)
            #expect(result.code == code, "\(result.errors)")
            #expect((result.errors + result.output).contains(words), "\(result.errors)")
            #expect(!result.errors.contains("\u{1B}") && !result.errors.contains("\r"))
        }
    }

    @Test("Distill never imports Extract")
    func arrows() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let folder = root.appendingPathComponent("Sources/Distill")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!files.isEmpty)
        for file in files where file.hasSuffix(".swift") {
            let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
            #expect(!text.contains("import Extract"), "\(file)")
        }
    }
}

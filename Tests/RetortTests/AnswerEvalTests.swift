import Foundation
import TestSupport
import Testing

@Suite("Answers to a file of prompts")
struct AnswerEvalTests {
    private func run(_ arguments: [String], in folder: URL) throws -> RetortProcess.Result {
        try RetortProcess.run(["eval"] + arguments, in: folder)
    }

    private func prepare(in folder: URL) throws {
        _ = try TinyTeacher.make(in: folder)
        let lines = [
            #"{"instruction": "Say the colour.", "input": "sky", "output": ["blue", "light blue"]}"#,
            #"{"prompt": "What is the answer?", "references": ["an answer"]}"#,
            #"{"prompt": "Again?", "response": "no"}"#,
        ]
        try Data(lines.joined(separator: "\n").utf8).write(
            to: folder.appendingPathComponent("test.jsonl")
        )
        let made = try RetortProcess.run(
            [
                "model", "new", "--tokenizer", "teacher", "--output", "small", "--hidden-size",
                "16",
                "--layers", "1", "--heads", "2", "--positions", "128",
            ],
            in: folder
        )
        try #require(made.code == 0, "\(made.errors)")
    }

    @Test("each model answers greedily and once a seed, and the answers can be scored again")
    func seeds() throws {
        try withFolder { folder in
            try prepare(in: folder)
            let arguments = [
                "teacher", "small", "--data", "test.jsonl", "--template", "plain",
                "--max-new-tokens",
                "6", "--seeds", "10, 20,30", "--baseline", "small", "--answers", "answers",
            ]
            let first = try run(arguments + ["--json", "--output", "out/eval.json"], in: folder)
            #expect(first.code == 0, "\(first.errors)")
            let report = try #require(
                try JSONSerialization.jsonObject(with: Data(first.output.utf8)) as? [String: Any]
            )
            let models = try #require(report["models"] as? [[String: Any]])
            #expect(models.compactMap { $0["name"] as? String } == ["teacher", "small"])
            #expect(report["prompts"] as? Int == 3)
            let sampled = try #require(models[0]["sampled_rougeL"] as? [String: Any])
            let means = try #require(sampled["means"] as? [Double])
            #expect(means.count == 3)
            let mean = means.reduce(0, +) / 3
            #expect(abs((sampled["mean"] as? Double ?? 0) - mean) < 1e-9)
            let squares = means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            #expect(abs((sampled["deviation"] as? Double ?? 0) - (squares / 2).squareRoot()) < 1e-9)
            #expect(models[0]["difference"] != nil && models[1]["difference"] == nil)
            try FileManager.default.createDirectory(
                at: folder.appendingPathComponent("run"),
                withIntermediateDirectories: true
            )
            try Data("{}".utf8).write(to: folder.appendingPathComponent("run/config.resolved.json"))
            let page = try RetortProcess.run(
                ["report", "run", "--eval", "out/eval.json"],
                in: folder
            )
            #expect(page.code == 0, "\(page.errors)")
            let html = try String(
                contentsOf: folder.appendingPathComponent("report.html"),
                encoding: .utf8
            )
            #expect(
                html.contains("answers to test.jsonl") && html.contains("over seeds 10, 20, 30")
            )
            let files = try FileManager.default.contentsOfDirectory(
                atPath: folder.path + "/answers"
            )
            #expect(files.count == 8 && files.contains("teacher-seed_20.jsonl"), "\(files)")

            // The same answers by --score-only come to the same figures.
            for (file, key) in [("teacher-greedy", "rougeL"), ("small-greedy", "rougeL")] {
                let path = "answers/\(file).jsonl"
                let scored = try run(["--score-only", path, path, "--json"], in: folder)
                let object = try JSONSerialization.jsonObject(with: Data(scored.output.utf8))
                let again = (object as? [String: Any])?[key] as? [String: Double]
                let model = models[file.hasPrefix("teacher") ? 0 : 1][key] as? [String: Double]
                #expect(again == model && again != nil)
            }

            let table = try run(arguments + ["--limit", "2"], in: folder)
            #expect(table.output.contains("2 prompts") && table.output.contains("than small"))
            let again = try run(arguments + ["--output", "out/eval.json"], in: folder)
            #expect(again.code == 73)
        }
    }

    @Test(
        "mistakes are told before anything runs",
        arguments: [
            (["teacher", "--data", "gone.jsonl"], 66, "gone.jsonl"),
            (["teacher", "--data", "test.jsonl", "--seeds", "1,x"], 64, "--seeds"),
            (["teacher", "--data", "test.jsonl", "--cache", "c"], 64, "either --cache or --data"),
            (["teacher", "--data", "test.jsonl", "--baseline", "x"], 64, "none of the models"),
            (["teacher", "--data", "test.jsonl"], 64, "template"),
            (
                ["teacher", "--data", "bad.jsonl", "--template", "plain"], 65,
                "prompt 1 has no references"
            ),
            (["--score-only", "a", "b", "--data", "c"], 64, "--score-only"),
        ] as [([String], Int32, String)]
    )
    func mistakes(arguments: [String], code: Int32, words: String) throws {
        try withFolder { folder in
            try prepare(in: folder)
            try Data(#"{"prompt": "p"}"#.utf8).write(
                to: folder.appendingPathComponent("bad.jsonl")
            )
            let result = try run(arguments, in: folder)
            #expect(result.code == code && result.errors.contains(words), "\(result.errors)")
        }
    }
}

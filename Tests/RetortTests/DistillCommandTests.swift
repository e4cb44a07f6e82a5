import Foundation
import TestSupport
import Testing

@Suite("The command distill")
struct DistillCommandTests {
    /// A cache and a student of the teacher's own vocabulary, in `folder`.
    private func prepare(in folder: URL) throws {
        _ = try TinyTeacher.make(in: folder)
        _ = try TinyTeacher.dataset(in: folder)
        for command in [
            [
                "extract", "--set", "teacher=teacher", "--set", "data=data.jsonl", "--set",
                "output=cache", "--set", "max_length=96", "--set", "max_prompt_length=48",
            ],
            [
                "model", "new", "--tokenizer", "teacher", "--output", "base", "--hidden-size", "16",
                "--layers", "1", "--heads", "2",
            ],
        ] {
            let result = try RetortProcess.run(command, in: folder)
            try #require(result.code == 0, "\(result.errors)")
        }
    }

    private func run(
        _ settings: [String],
        _ more: [String] = [],
        in folder: URL
    ) throws -> RetortProcess.Result {
        let all =
            [
                "cache=cache", "student.from=base", "criterion=sft", "steps=3", "warmup_steps=1",
                "batch_examples=2", "max_length=64", "max_prompt_length=24",
            ] + settings
        return try RetortProcess.run(
            ["distill"] + all.flatMap { ["--set", $0] } + more,
            in: folder
        )
    }

    @Test("a plan says what lies there, as text and as JSON, and what would be refused")
    func plan() throws {
        try withFolder { folder in
            try prepare(in: folder)
            func state() throws -> String? {
                let plan = try run(["output=out"], ["--dry-run", "--json"], in: folder)
                #expect(plan.code == 0, "\(plan.errors)")
                let object = try JSONSerialization.jsonObject(with: Data(plan.output.utf8))
                return (object as? [String: Any])?["state"] as? String
            }
            #expect(try state() == "fresh")
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
            let done = try run(["output=out", "eval_every=1"], in: folder)
            #expect(
                done.code == 0 && done.errors.contains("step 3, held out: total "),
                "\(done.errors)"
            )
            #expect(try state() == "finished")
            let again = try run(["output=out"], in: folder)
            #expect(again.code == 0 && again.errors.contains("finished before; nothing to do"))
            let plan = try run(["output=out"], ["--dry-run"], in: folder)
            #expect(plan.output.contains("out  (finished: nothing to do)"))
            let other = try run(["output=out", "seed=5"], ["--dry-run"], in: folder)
            #expect(other.code == 73 && other.errors.contains("seed: 5 here, 1 there"))
        }
    }

    @Test("the model that a run starts from, and files that it has not made, stay as they are")
    func foreign() throws {
        try withFolder { folder in
            try prepare(in: folder)
            let place = try makeFolder("mine", in: folder)
            try FileManager.default.copyItem(
                at: folder.appendingPathComponent("base"),
                to: place.appendingPathComponent("student")
            )
            let own = try run(["output=mine", "student.from=mine/student"], in: folder)
            #expect(own.code == 64 && own.errors.contains("distill.output: mine"), "\(own.errors)")
            let other = try run(["output=mine"], in: folder)
            #expect(other.code == 73 && other.errors.contains("there is a student here"))
            for (output, code, words) in [
                ("data.jsonl", 73, "there is a file of that name"),
                ("data.jsonl/x", 74, "the directory cannot be made"),
            ] {
                let refused = try run(["output=\(output)"], in: folder)
                #expect(refused.code == code && refused.errors.contains(words), "\(refused.errors)")
            }
        }
    }

    @Test(
        "settings of the wrong kind are told what they should be",
        arguments: [
            ("compute=fp16", "it is one of f32, bf16"), ("lora=8", "settings of their own"),
            ("layers=final", "a list, such as [one, two]"),
            ("distill.steps=3", "leave out \"distill.\""),
            ("runs={}", "`retort run FILE` trains them"),
            ("epochs=2", "--set steps=null"), ("lora.targets=nowhere", "lora target \"nowhere\""),
        ]
    )
    func wrongKind(setting: String, words: String) throws {
        try withFolder { folder in
            try prepare(in: folder)
            let result = try run(["output=out", setting], in: folder)
            #expect(result.code == 64 && result.errors.contains(words), "\(result.errors)")
        }
    }

    @Test("low-rank factors for all linear maps are asked for as PEFT does")
    func allLinear() throws {
        try withFolder { folder in
            try prepare(in: folder)
            let result = try run(["output=out", "lora.targets=all-linear"], in: folder)
            #expect(result.code == 0, "\(result.errors)")
            let text = try String(
                contentsOfFile: folder.path + "/out/adapter/adapter_config.json",
                encoding: .utf8
            )
            #expect(text.contains("mlp.c_fc") || text.contains("\"c_fc\""), "\(text)")
        }
    }
}

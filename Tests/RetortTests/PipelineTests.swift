import Cache
import Distill
import Foundation
import Models
import TestSupport
import Testing

/// A pipeline over a tiny random teacher, as a file in a folder.
private func writePipeline(
    in folder: URL,
    examples: Int = 40,
    steps: Int = 6,
    student: String,
    runs: String = "{sft: {criterion: sft}, dskd: {criterion: dskd_cma}}"
) throws {
    _ = try TinyTeacher.make(in: folder)
    _ = try TinyTeacher.dataset(in: folder, count: examples)
    let text = """
        output: run
        seed: 3
        extract:
          teacher: teacher
          data: data.jsonl
          max_length: 96
          max_prompt_length: 48
          top_k: 5
          block_tokens: 200
          shard_mib: 1
        student: \(student)
        distill:
          steps: \(steps)
          batch_examples: 4
          learning_rate: 1e-3
          warmup_steps: 2
          max_length: 96
          max_prompt_length: 48
          checkpoint_every: 2
          runs: \(runs)
        eval:
          max_new_tokens: 6
        """
    try Data(text.utf8).write(to: folder.appendingPathComponent("pipeline.yaml"))
}

private let freshStudent =
    "{new: {vocabulary: 290, hidden_size: 16, layers: 2, heads: 2, positions: 96}}"

private func weights(_ folder: URL, _ run: String) throws -> String {
    try #require(DoneRecord.read(folder.appendingPathComponent("run/\(run)"))).weightsSHA256
}

private func cacheFiles(_ folder: URL) throws -> [String] {
    let reader = try CacheReader(directory: folder.appendingPathComponent("run/cache"))
    return reader.manifest.files.map { "\($0.path) \($0.sha256)" }.sorted()
}

@Suite("A whole pipeline", .serialized)
struct PipelineTests {
    private let run = ["run", "pipeline.yaml"]

    @Test("extracts, trains and evaluates; again it does nothing, and without the teacher the same")
    func endToEnd() throws {
        try withFolder { folder in
            try writePipeline(in: folder, student: freshStudent)
            let first = try RetortProcess.run(run, in: folder)
            #expect(first.code == 0, "\(first.errors)")
            #expect(first.output.contains("KL byte"))
            let sft = try weights(folder, "sft")
            let dskd = try weights(folder, "dskd")
            #expect(sft != dskd)
            for path in [
                "cache/manifest.json", "cache/shards/00000.h5", "sft/student/model.safetensors",
                "dskd/student/tokenizer.json", "dskd/metrics.jsonl", "eval.json", "log.txt",
                "eval.examples.jsonl", "eval.maps.json", "report.html",
            ] {
                let file = folder.appendingPathComponent("run/\(path)")
                #expect(FileManager.default.fileExists(atPath: file.path), "\(path)")
            }
            let student = folder.appendingPathComponent("run/dskd/student")
            #expect(try Checkpoint(student).model().configuration.modelType == "gpt2")
            let metrics = try Data(
                contentsOf: folder.appendingPathComponent("run/dskd/metrics.jsonl")
            )

            try checkReport(in: folder)

            let again = try RetortProcess.run(run, in: folder)
            #expect(again.code == 0 && again.output == first.output)
            #expect(again.errors.contains("eval.json is up to date"))

            // Training opens no teacher weights: with the teacher gone, every loss is the same.
            try FileManager.default.removeItem(at: folder.appendingPathComponent("teacher"))
            for name in ["sft", "dskd", "eval.json"] {
                try FileManager.default.removeItem(at: folder.appendingPathComponent("run/\(name)"))
            }
            let gone = try RetortProcess.run(run, in: folder)
            #expect(gone.code == 0, "\(gone.errors)")
            #expect(try weights(folder, "sft") == sft && weights(folder, "dskd") == dskd)
            let repeated = try Data(
                contentsOf: folder.appendingPathComponent("run/dskd/metrics.jsonl")
            )
            #expect(try losses(repeated) == losses(metrics))
            #expect(gone.output == first.output)
        }
    }

    @Test("every pipeline that ships says what it would do, without teacher and cache")
    func shippedFiles() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../pipelines").standardizedFileURL
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            $0.hasSuffix(".yaml") && !$0.hasSuffix("-k8s.yaml")
        }
        #expect(files.count > 2)
        try withFolder { elsewhere in
            for file in files {
                let path = folder.appendingPathComponent(file).path
                let plan = try RetortProcess.run(["run", path, "--dry-run"], in: elsewhere)
                #expect(plan.code == 0, "\(file): \(plan.errors)")
            }
        }
    }

    /// What was measured is all on the page.
    private func checkReport(in folder: URL) throws {
        let eval = try #require(EvalFile.read(folder.appendingPathComponent("run/eval.json")))
        #expect(eval.reports.map { $0.alignmentQuality != nil } == [false, false, true])
        let quality = try #require(eval.reports[2].alignmentQuality)
        #expect((0...1).contains(quality) && eval.reports[2].intervals?["cma_alignment"] != nil)
        let made = try RetortProcess.run(["report", "run", "--output", "page/r.html"], in: folder)
        #expect(made.code == 0, "\(made.errors)")
        let data = try Data(contentsOf: folder.appendingPathComponent("page/r.html"))
        let page = try #require(XMLCount(String(decoding: data, as: UTF8.self)))
        #expect(page.elements["script"] == nil && page.references.allSatisfy { $0.hasPrefix("#") })
        // Summary to examples.
        #expect(page.elements["section"] == 9, "\(page.elements)")
        #expect(page.elements["article"] == 2 * min(12, eval.reports[1].examples))
        #expect(page.text.contains("s2t_kd") && page.text.contains("of the same characters"))
        let twice = try RetortProcess.run(["report", "run", "--output", "page/r.html"], in: folder)
        #expect(twice.code == 73 && twice.errors.contains("--replace"))
        let own = try RetortProcess.run(
            ["report", "run", "--output", "run/sft/metrics.jsonl", "--replace"],
            in: folder
        )
        #expect(own.code == 73 && own.errors.contains("choose another output"))
        let started = try RetortProcess.run(["eval", "run", "--cache", "run/cache"], in: folder)
        #expect(started.code == 66 && started.errors.contains("name its runs: run/dskd run/sft"))
        try Data("mine".utf8).write(to: folder.appendingPathComponent("mine.maps.json"))
        let theirs = try RetortProcess.run(
            ["eval", "run/sft", "--cache", "run/cache", "--output", "mine.json"],
            in: folder
        )
        #expect(theirs.code == 73 && theirs.errors.contains("mine.maps.json: there already"))
        let none = try RetortProcess.run(["report", "page"], in: folder)
        #expect(none.code == 66 && none.errors.contains("page: no run"))
        let watched = try RetortProcess.run(["watch", "run"], in: folder)
        #expect(watched.code == 0 && watched.output.contains("finished after 6 steps"))
    }

    private func losses(_ metrics: Data) throws -> [[String: Double]] {
        try metrics.split(separator: 0x0A).map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            return try #require(object?["losses"] as? [String: Double])
        }
    }

    @Test("distill forecasts, refuses to go on from nothing, and goes on past a damaged checkpoint")
    func distill() throws {
        try withFolder { folder in
            try writePipeline(in: folder, student: freshStudent, runs: "{sft: {criterion: sft}}")
            #expect(try RetortProcess.run(run, in: folder).code == 0)
            let arguments =
                ["distill"]
                + [
                    "cache=run/cache", "student.from=run/student", "output=mine", "steps=4",
                    "batch_tokens=200", "accumulate=2", "checkpoint_every=1", "sample_every=2",
                    "max_new_tokens=4", "eval_every=2", "keep_best=1", "ema=0.9",
                    "max_length=64", "max_prompt_length=24",
                ].flatMap { ["--set", $0] }
            let plan = try RetortProcess.run(arguments + ["--dry-run"], in: folder)
            #expect(plan.code == 0, "\(plan.errors)")
            for words in [
                "4 steps of up to 2 x 200 tokens", "final hidden states, the head",
                "query.weight [", "average of the weights", "3 checkpoints", "2 best students",
            ] {
                #expect(plan.output.contains(words), "\(words)")
            }
            #expect(try RetortProcess.run(arguments + ["--resume"], in: folder).code == 66)

            let whole = try RetortProcess.run(arguments, in: folder)
            #expect(whole.code == 0, "\(whole.errors)")
            #expect(whole.errors.contains("is among the best so far: "))
            #expect(whole.errors.contains("  ->  "))
            let mine = folder.appendingPathComponent("mine")
            let student = mine.appendingPathComponent("student/model.safetensors")
            let want = try Data(contentsOf: student)
            for name in ["done.json", "student"] {
                try FileManager.default.removeItem(at: mine.appendingPathComponent(name))
            }
            try Data().write(
                to: mine.appendingPathComponent("checkpoints/step-000004/model.safetensors")
            )
            let again = try RetortProcess.run(arguments + ["--resume"], in: folder)
            #expect(again.code == 0, "\(again.errors)")
            #expect(again.errors.contains("warning: ") && again.errors.contains("step-000004"))
            #expect(try Data(contentsOf: student) == want)
            #expect(try RetortProcess.run(arguments + ["--resume"], in: folder).code == 0)
        }
    }

    @Test("a student pruned from the teacher is distilled in the teacher's vocabulary")
    func sameVocabulary() throws {
        try withFolder { folder in
            try writePipeline(
                in: folder,
                student: "{prune: {layers: [1-2], intermediate_size: 32}}",
                runs: "{dskd: {criterion: dskd}}"
            )
            let result = try RetortProcess.run(run, in: folder)
            #expect(result.code == 0, "\(result.errors)")
            let model = try Checkpoint(folder.appendingPathComponent("run/dskd/student")).model()
            #expect(model.configuration.layerCount == 2)
            #expect(model.configuration.intermediateSize == 32)
            let data = try Data(contentsOf: folder.appendingPathComponent("run/eval.json"))
            let text = String(decoding: data, as: UTF8.self)
            #expect(text.contains("\"kl\""), "one vocabulary has a KL over all of it")
        }
    }

    @Test("killed in extraction and in training, it ends with the same files as a run left alone")
    func kill() throws {
        try withFolder { folder in
            let whole = try makeFolder("whole", in: folder)
            let killed = try makeFolder("killed", in: folder)
            for place in [whole, killed] {
                try writePipeline(in: place, examples: 600, steps: 12, student: freshStudent)
            }
            #expect(try RetortProcess.run(run, in: whole).code == 0)
            var kills = 0
            for path in [
                "run/cache/shards/00000.h5", "run/sft/checkpoints/step-000002",
                "run/dskd/checkpoints",
            ] {
                let process = try RetortProcess(run, in: killed)
                let file = killed.appendingPathComponent(path).path
                while process.isRunning, !FileManager.default.fileExists(atPath: file) {
                    usleep(500)
                }
                process.send(SIGKILL)
                if try process.wait().code == 128 + SIGKILL { kills += 1 }
            }
            #expect(kills > 0, "the kills came too late to test anything")
            let last = try RetortProcess.run(run, in: killed)
            #expect(last.code == 0, "\(last.errors)")
            #expect(try cacheFiles(killed) == cacheFiles(whole))
            #expect(try weights(killed, "sft") == weights(whole, "sft"))
            #expect(try weights(killed, "dskd") == weights(whole, "dskd"))
        }
    }

    @Test("Ctrl-C in training saves a checkpoint, exits 75, and the next run goes on from it")
    func interrupt() throws {
        try withFolder { folder in
            let whole = folder.appendingPathComponent("whole")
            let stopped = folder.appendingPathComponent("stopped")
            for place in [whole, stopped] {
                try FileManager.default.createDirectory(
                    at: place,
                    withIntermediateDirectories: true
                )
                try writePipeline(
                    in: place,
                    steps: 400,
                    student: freshStudent,
                    runs: "{dskd: {criterion: dskd_cma, checkpoint_every: 0}}"
                )
            }
            #expect(try RetortProcess.run(run, in: whole).code == 0)
            let process = try RetortProcess(run, in: stopped)
            let metrics = stopped.appendingPathComponent("run/dskd/metrics.jsonl").path
            while process.isRunning,
                (try? FileManager.default.attributesOfItem(atPath: metrics)[.size] as? Int) ?? 0
                    == 0
            {
                usleep(500)
            }
            process.send(SIGINT)
            let result = try process.wait()
            #expect(result.code == 75, "\(result.errors)")
            #expect(result.errors.contains("run the same command again"))
            #expect(try RetortProcess.run(run, in: stopped).code == 0)
            #expect(try weights(stopped, "dskd") == weights(whole, "dskd"))
        }
    }

    @Test("what was made with other settings is refused, not taken for what is asked")
    func stale() throws {
        try withFolder { folder in
            try writePipeline(in: folder, steps: 2, student: freshStudent)
            #expect(try RetortProcess.run(run, in: folder).code == 0)
            func code(_ setting: String, _ words: String) throws -> Int32 {
                let result = try RetortProcess.run(run + ["--set", setting], in: folder)
                #expect(result.errors.contains(words), "\(result.errors)")
                return result.code
            }
            #expect(try code("student.new.layers=1", "made with other settings") == 73)
            #expect(try code("student.new.architecture=qwen3", "made with other settings") == 73)
            #expect(try code("student.new.architecture=bert", "is not made from sizes") == 64)
            #expect(try code("student.new.tokenizer=teacher", "leave out vocabulary") == 64)
            #expect(try code("extract.top_k=4", "topK: 4 here, 5 there") == 65)
            #expect(try code("distill.steps=3", "steps: 3 here, 2 there") == 73)
            #expect(try code("eval.split=dev", "no example of split \"dev\"") == 64)
            // Before the extraction, not after it.
            let early = ["--set", "eval.split=dev", "--set", "output=other"]
            #expect(try RetortProcess.run(run + early, in: folder).code == 64)
            let shards = folder.appendingPathComponent("other/cache").path
            #expect(!FileManager.default.fileExists(atPath: shards))
            #expect(try code("distill.runs.sft.output=run/dskd", "two runs write to") == 64)
            try FileManager.default.removeItem(at: folder.appendingPathComponent("teacher"))
            #expect(try code("extract.top_k=4", "the teacher teacher is not here") == 65)
        }
    }

    @Test("answers are gone on with only under the same options")
    func generate() throws {
        try withFolder { folder in
            _ = try TinyTeacher.make(in: folder)
            _ = try TinyTeacher.dataset(in: folder, count: 8)
            let command = [
                "generate", "--model", "teacher", "--prompts", "data.jsonl", "--output", "a.jsonl",
                "--max-new-tokens", "4", "--temperature", "0",
            ]
            let first = try RetortProcess.run(command, in: folder)
            #expect(first.code == 0, "\(first.errors)")
            let output = folder.appendingPathComponent("a.jsonl")
            let answers = try Data(contentsOf: output)
            let partial = folder.appendingPathComponent("a.jsonl.partial")
            #expect(!FileManager.default.fileExists(atPath: partial.path))
            let again = try RetortProcess.run(command, in: folder)
            #expect(again.code == 73 && again.errors.contains("--replace"))
            let own = try RetortProcess.run(
                command.map { $0 == "a.jsonl" ? "data.jsonl" : $0 } + ["--replace"],
                in: folder
            )
            #expect(own.code == 73, "the prompts are not written over")
            // What a kill of a run with other options leaves: its key, an answer, half an answer.
            let answer = "{\"index\":0,\"text\":\"x\",\"isComplete\":true,\"attempt\":0}\n"
            try Data("{\"key\":\"another\"}\n\(answer){\"index\":1,".utf8).write(to: partial)
            let refused = try RetortProcess.run(command + ["--replace"], in: folder)
            #expect(refused.code == 73 && refused.errors.contains("a.jsonl.partial"))
            try FileManager.default.removeItem(at: partial)
            #expect(try RetortProcess.run(command + ["--replace"], in: folder).code == 0)
            #expect(try Data(contentsOf: output) == answers)
        }
    }

    @Test(
        "a student may be a GGUF file; one that is not there, or a wrong baseline, is told at once"
    )
    func givenStudent() throws {
        try withFolder { folder in
            try writePipeline(
                in: folder,
                student: "{from: student.gguf}",
                runs: "{sft: {criterion: sft, lora: {rank: 2}}}"
            )
            let missing = try RetortProcess.run(run, in: folder)
            #expect(missing.code == 66, "\(missing.errors)")
            #expect(missing.errors.contains("student.from: there is no model in student.gguf"))
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/run/cache"))
            let plan = try RetortProcess.run(run + ["--dry-run"], in: folder)
            #expect(plan.output.contains("student: the model student.gguf is not here"))
            let export = [
                "model", "export", "teacher", "--output", "student.gguf", "--type", "f32",
            ]
            try #require(try RetortProcess.run(export, in: folder).code == 0)
            let wrong = try RetortProcess.run(run + ["--set", "eval.baseline=x"], in: folder)
            #expect(wrong.code == 64 && wrong.errors.contains("\"x\" is none of the models"))
            let done = try RetortProcess.run(run, in: folder)
            #expect(done.code == 0, "\(done.errors)")
            let adapter = folder.appendingPathComponent("run/sft/adapter/adapter_config.json")
            #expect(FileManager.default.fileExists(atPath: adapter.path))
        }
    }
}

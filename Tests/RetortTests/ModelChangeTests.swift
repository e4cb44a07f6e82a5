import Foundation
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

@Suite("The commands that change a model")
struct ModelChangeTests {
    private func logits(_ url: URL) throws -> Matrix {
        let model = try Checkpoint(url).model()
        let hidden = model.hiddenStates(VarlenBatch([[1, 2, 3, 4], [9, 250]]), tape: nil)
        let head = PackedWeights(model.outputHead.value, compute: .f32)
        let logits = Matrix(uninitialized: hidden.rows, head.outputs)
        head.multiply(hidden, into: logits)
        return logits
    }

    private func largest(_ a: Matrix, _ b: Matrix) -> Float {
        zip(a.values, b.values).map { abs($0 - $1) }.max() ?? .infinity
    }

    private func run(_ arguments: [String], in folder: URL) throws -> RetortProcess.Result {
        try RetortProcess.run(["model"] + arguments, in: folder)
    }

    @Test("prune takes ranges, even spacing and widths")
    func prune() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            _ = try TinyTeacher.dataset(in: folder)
            let made = try run(
                [
                    "prune", "teacher", "--layers", "0-1,2", "--kv-heads", "1",
                    "--intermediate-size", "24", "--hidden-size", "20", "--sample", "data.jsonl",
                    "--output", "cut",
                ],
                in: folder
            )
            #expect(made.code == 0, "\(made.errors)")
            #expect(made.errors.contains("measuring importance on 10 texts"), "\(made.errors)")
            let cut = folder.appendingPathComponent("cut")
            let c = try Checkpoint(cut).model().configuration
            #expect(c.layerCount == 3 && c.hiddenSize == 20 && c.intermediateSize == 24)
            #expect(c.headCount == 2 && c.keyValueHeadCount == 1 && c.headSize == 6)
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                #expect(
                    try Data(contentsOf: cut.appendingPathComponent(name))
                        == Data(contentsOf: teacher.appendingPathComponent(name))
                )
            }
            let kept = try run(
                ["prune", "teacher", "--keep", "2", "--output", "kept"],
                in: folder
            )
            #expect(kept.code == 0)
            let named = try run(
                ["prune", "teacher", "--layers", "0,2", "--output", "named"],
                in: folder
            )
            #expect(named.code == 0)
            #expect(
                try logits(folder.appendingPathComponent("kept")).values
                    == logits(folder.appendingPathComponent("named")).values
            )
            for (arguments, words, code) in [
                (["--layers", "0-"], "numbers and ranges", Int32(64)),
                (["--layers", "2,0"], "2, 0: layers stay in the model's order", 64),
                (["--layers", "5"], "layers [5] of a model that has 0 to 2", 65),
                (["--keep", "9"], "9 of 3 layers", 64), ([], "nothing is cut", 64),
                (["--keep", "1", "--layers", "1"], "given beside layers", 64),
                (["--heads", "2"], "Give --sample", 64),
                (["--keep", "1", "--sample", "data.jsonl"], "only layers are cut", 64),
                (["--heads", "3", "--sample", "data.jsonl"], "whole groups", 65),
                (["--heads", "2", "--sample", "gone"], "gone", 66),
            ] {
                let result = try run(
                    ["prune", "teacher", "--output", "no"] + arguments,
                    in: folder
                )
                #expect(result.code == code && result.errors.contains(words), "\(result.errors)")
            }
            #expect(
                !FileManager.default.fileExists(atPath: folder.appendingPathComponent("no").path)
            )
        }
    }

    @Test("export writes a file that is the model, with its tokenizer and chat template")
    func export() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let chat = "{{ messages }}"
            try Data(chat.utf8).write(to: teacher.appendingPathComponent("chat_template.jinja"))
            let made = try run(["export", "teacher", "--output", "m.gguf"], in: folder)
            #expect(made.code == 0, "\(made.errors)")
            let url = folder.appendingPathComponent("m.gguf")
            let scale = try logits(teacher).values.map(abs).max() ?? 0
            #expect(largest(try logits(url), try logits(teacher)) < 5e-3 * scale)
            let file = try GGUFFile(path: url.path)
            #expect(try file.string("tokenizer.chat_template") == chat)
            #expect(try file.string("tokenizer.ggml.pre") == "gpt-2")
            #expect(try file.string("general.name") == "teacher")
            try Data(
                TinyTeacher.sentences.map { "\"\($0)\"" }.joined(separator: "\n").utf8
            )
            .write(to: folder.appendingPathComponent("texts.jsonl"))
            let lists = try ["teacher", "m.gguf"].map {
                try RetortProcess.run(["tokenize", $0, "texts.jsonl"], in: folder).output
            }
            #expect(lists[0] == lists[1] && !lists[0].isEmpty)

            let again = try run(["export", "teacher", "--output", "m.gguf"], in: folder)
            #expect(again.code == 73)
            let other = try run(
                ["export", "m.gguf", "--output", "m.gguf", "--replace"],
                in: folder
            )
            #expect(other.code == 73, "a file is not written over itself")
            #expect(
                try run(["export", "teacher", "--output", "b", "--type", "bf16"], in: folder).code
                    == 64
            )
            #expect(try run(["export", "gone", "--output", "b"], in: folder).code == 66)
        }
    }

    @Test("merge without a change is the base; what is there is left alone")
    func merge() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let adapter = folder.appendingPathComponent("adapter")
            try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
            try Data(
                """
                {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
                """.utf8
            ).write(to: adapter.appendingPathComponent("adapter_config.json"))
            let (a, b) = ([Float](repeating: 0.5, count: 48), [Float](repeating: 0.25, count: 48))
            let module = "base_model.model.model.layers.1.self_attn.q_proj"
            try a.withUnsafeBufferPointer { a in
                try b.withUnsafeBufferPointer { b in
                    try SafetensorsWriter.write(
                        [
                            ("\(module).lora_A.weight", [2, 24], a),
                            ("\(module).lora_B.weight", [24, 2], b),
                        ],
                        type: .f32,
                        to: adapter.appendingPathComponent("adapter_model.safetensors")
                    )
                }
            }
            let merge = ["merge", "teacher", "--adapter", "adapter", "--output", "merged"]
            let made = try run(merge, in: folder)
            #expect(made.code == 0, "\(made.errors)")
            let merged = folder.appendingPathComponent("merged")
            let pairs = zip(
                try Checkpoint(teacher).model().parameters,
                try Checkpoint(merged).model().parameters
            )
            for (before, after) in pairs {
                // Two products of 0.5 and 0.25, twice.
                let change: Float = before.name.contains("layers.1.self_attn.q_proj") ? 0.5 : 0
                let errors = zip(before.value.values, after.value.values).map {
                    abs($1 - $0 - change)
                }
                #expect((errors.max() ?? 1) < 1e-6, "\(before.name)")
            }
            #expect(
                try Tokenizer(directory: merged).fingerprint
                    == Tokenizer(directory: teacher).fingerprint
            )
            #expect(try run(merge, in: folder).code == 73)
            #expect(
                try run(["merge", "teacher", "--adapter", "x", "--output", "y"], in: folder).code
                    == 66
            )
        }
    }

    @Test("resize gives new tokens rows, and refuses a tokenizer whose old ids changed")
    func resize() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            func tokenizer(_ name: String, first: String, size: Int) throws {
                try BPETrainer.train(
                    texts: TinyTeacher.sentences,
                    vocabularySize: size,
                    specialTokens: [first] + PromptTemplate.named("chatml").specialTokens,
                    endOfSequence: first
                ).write(to: folder.appendingPathComponent(name))
            }
            // Training goes on where a smaller vocabulary stopped.
            try tokenizer("grown", first: "<|end|>", size: 310)
            try tokenizer("other", first: "<|stop|>", size: 310)
            let rows = try Checkpoint(teacher).configuration.vocabularySize
            let made = try run(
                ["resize", "teacher", "--tokenizer", "grown", "--output", "resized"],
                in: folder
            )
            #expect(made.code == 0, "\(made.errors)")
            let resized = folder.appendingPathComponent("resized")
            #expect(try Tokenizer(directory: resized).vocabularySize == 310)
            #expect(try Checkpoint(resized).configuration.vocabularySize == 310)
            let (old, new) = (try logits(teacher), try logits(resized))
            for row in 0..<old.rows {
                for column in 0..<rows { #expect(abs(old[row, column] - new[row, column]) < 1e-4) }
            }
            let refused = try run(
                ["resize", "teacher", "--tokenizer", "other", "--output", "no"],
                in: folder
            )
            #expect(refused.code == 65 && refused.errors.contains("token 0 is \"<|stop|>\""))
        }
    }
}

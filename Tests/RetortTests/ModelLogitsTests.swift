import Foundation
import Models
import Tensors
import TestSupport
import Testing

@Suite("The commands model logits and model info")
struct ModelLogitsTests {
    @Test("logits and hidden states are the model's, list by list")
    func logits() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let lists: [[UInt32]] = [[1, 2, 3, 4], [9], [7, 8, 250]]
            let tokens = folder.appendingPathComponent("ids.json")
            try JSONEncoder().encode(lists).write(to: tokens)
            let output = folder.appendingPathComponent("made/logits.h5")
            let result = try RetortProcess.run(
                [
                    "model", "logits", teacher.path, "--tokens", tokens.path, "--output",
                    output.path,
                ],
                in: folder
            )
            #expect(result.code == 0, "\(result.errors)")

            let model = try Checkpoint(teacher).model()
            let hidden = model.hiddenStates(VarlenBatch(lists), tape: nil)
            let head = PackedWeights(model.outputHead.value, compute: .f32)
            let logits = Matrix(uninitialized: hidden.rows, head.outputs)
            head.multiply(hidden, into: logits)
            // Arrays lie in one piece as little-endian numbers; h5py's own reading is checked by
            // reference/gguf_parity.py.
            let file = try Data(contentsOf: output)
            for matrix in [hidden, logits] {
                let bytes = Data(bytes: matrix.base, count: 4 * matrix.count)
                #expect(file.range(of: bytes) != nil)
            }
            let offsets: [Int64] = [0, 4, 5, 8]
            #expect(file.range(of: offsets.withUnsafeBytes { Data($0) }) != nil)
            let left = try FileManager.default.contentsOfDirectory(
                atPath: output.deletingLastPathComponent().path
            )
            #expect(left == ["logits.h5"])
        }
    }

    @Test("wrong lists, ids and outputs are refused with their place")
    func mistakes() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let tokens = folder.appendingPathComponent("ids.json")
            let output = folder.appendingPathComponent("out.h5")
            func run(_ text: String, _ more: [String] = []) throws -> RetortProcess.Result {
                try Data(text.utf8).write(to: tokens)
                return try RetortProcess.run(
                    ["model", "logits", "teacher", "--tokens", "ids.json", "--output", "out.h5"]
                        + more,
                    in: folder
                )
            }
            _ = teacher
            for (text, words) in [
                ("[[1], [2, 100000]]", "ids.json: list 1: position 1: id 100000"),
                ("[[1], []]", "ids.json: list 1: it is empty"), ("[]", "no lists"),
                ("[1, 2]", "not a JSON list of lists"), ("[[-1]]", "not a JSON list of lists"),
                ("[\(Array(repeating: 1, count: 200))]", "more than the model's 128 positions"),
            ] {
                let result = try run(text)
                #expect(result.code == 65)
                #expect(result.errors.contains(words), "\(result.errors)")
                #expect(!FileManager.default.fileExists(atPath: output.path))
            }
            try Data("mine".utf8).write(to: output)
            let there = try run("[[1]]")
            #expect(there.code == 73 && there.errors.contains("--replace"))
            #expect(try Data(contentsOf: output) == Data("mine".utf8))
            #expect(try run("[[1]]", ["--replace"]).code == 0)
            #expect(try Data(contentsOf: output).starts(with: [0x89, 0x48, 0x44, 0x46]))
            let gone = try RetortProcess.run(
                ["model", "logits", "teacher", "--tokens", "gone.json", "--output", "o.h5"],
                in: folder
            )
            #expect(gone.code == 66 && gone.errors.contains("gone.json"))
        }
    }

    @Test("model info names sizes, memory, tokenizer and template")
    func info() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let chat =
                "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                + "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
            let result = try RetortProcess.run(
                ["model", "info", teacher.path, "--json"],
                in: folder
            )
            #expect(result.code == 0, "\(result.errors)")
            let json = try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            )
            let model = try #require(json["model"] as? [String: Any])
            #expect(model["architecture"] as? String == "llama")
            #expect(model["layers"] as? Int == 3)
            let parameters = try Checkpoint(teacher).summary.parameters
            #expect(model["parameters"] as? Int == parameters)
            let memory = try #require(model["f32"] as? [String: Int])
            #expect(memory["whole"] == 4 * parameters)
            #expect((1..<4 * parameters).contains(memory["layerByLayer"] ?? 0))
            #expect(model["fingerprint"] == nil)
            let words = try #require(json["tokenizer"] as? [String: Any])
            #expect(words["hasChatTemplate"] as? Bool == false)

            try Data(chat.utf8).write(to: teacher.appendingPathComponent("chat_template.jinja"))
            let table = try RetortProcess.run(
                ["model", "info", teacher.path, "--fingerprint"],
                in: folder
            )
            #expect(table.output.contains("template       chatml (the model's own"))
            #expect(table.output.contains("fingerprint    "))
        }
    }
}

import Foundation
import Models
import Tensors
import TestSupport
import Testing
import Tokenizers

@Suite("The command model new")
struct ModelNewTests {
    @Test(
        "every family is made from sizes, with a tokenizer from a directory",
        arguments: ["gpt2", "llama", "mistral", "qwen2", "qwen3"]
    )
    func families(family: String) throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let template = "{{ messages }}"
            try Data(template.utf8).write(to: teacher.appendingPathComponent("chat_template.jinja"))
            let sizes = family == "gpt2" ? [] : ["--kv-heads", "2", "--head-size", "6"]
            let result = try RetortProcess.run(
                [
                    "model", "new", "--architecture", family, "--tokenizer", "teacher", "--output",
                    "made", "--hidden-size", "16", "--layers", "2", "--heads", "4",
                    "--intermediate-size", "24", "--positions", "40", "--no-tied",
                    "--pad-vocabulary", "64",
                ] + sizes,
                in: folder
            )
            #expect(result.code == 0, "\(result.errors)")
            let made = folder.appendingPathComponent("made")
            let checkpoint = try Checkpoint(made)
            let c = checkpoint.configuration
            let tokenizer = try Tokenizer(directory: made)
            #expect(c.modelType == family && c.layerCount == 2 && c.intermediateSize == 24)
            #expect(c.keyValueHeadCount == (family == "gpt2" ? 4 : 2) && !c.tiesEmbeddings)
            #expect(c.headSize == (family == "gpt2" ? 4 : 6) && c.maxPositions == 40)
            #expect(c.vocabularySize == (tokenizer.vocabularySize + 63) / 64 * 64)
            #expect(tokenizer.fingerprint == (try Tokenizer(directory: teacher).fingerprint))
            #expect(
                try String(
                    contentsOf: made.appendingPathComponent("chat_template.jinja"),
                    encoding: .utf8
                ) == template
            )
            let count = try checkpoint.model().parameters.reduce(0) { $0 + $1.value.count }
            #expect(count == c.newParameterCount)
            #expect(result.errors.contains("\(family), 0.0 million parameters"), "\(result.errors)")
        }
    }

    @Test(
        "sizes that make no model are refused by their key",
        arguments: [
            (["--heads", "5"], "student.new.heads: 5 heads do not divide 384"),
            (["--heads", "5", "--architecture", "llama"], "or give head_size"),
            (["--kv-heads", "4", "--architecture", "llama"], "student.new.kv_heads: 6 heads"),
            (["--kv-heads", "3"], "GPT-2 has as many"), (["--head-size", "32"], "GPT-2's heads"),
            (
                ["--head-size", "33", "--architecture", "qwen3"],
                "student.new.head_size: heads of 33"
            ),
            (["--architecture", "lama"], "did you mean \"llama\"?"),
            (["--layers", "0"], "student.new.layers: 0 is out of range"),
            (
                ["--hidden-size", "65536", "--heads", "512", "--layers", "1024"],
                "choose smaller sizes"
            ), (["--vocabulary", "400"], "not for one from --tokenizer"),
            (["--texts", "data.jsonl"], "either --texts"),
        ]
    )
    func mistakes(arguments: [String], words: String) throws {
        try withFolder { folder in
            _ = try TinyTeacher.make(in: folder)
            let result = try RetortProcess.run(
                ["model", "new", "--tokenizer", "teacher", "--output", "made"] + arguments,
                in: folder
            )
            #expect(result.code == 64 && result.errors.contains(words), "\(result.errors)")
            #expect(
                !FileManager.default.fileExists(atPath: folder.appendingPathComponent("made").path)
            )
        }
    }

    @Test("a directory that holds something is left alone")
    func existing() throws {
        try withFolder { folder in
            let teacher = try TinyTeacher.make(in: folder)
            let before = try FileManager.default.contentsOfDirectory(atPath: teacher.path).sorted()
            let result = try RetortProcess.run(
                ["model", "new", "--tokenizer", "teacher", "--output", "teacher"],
                in: folder
            )
            #expect(result.code == 73)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: teacher.path).sorted() == before
            )
        }
    }
}

import Foundation
import TestSupport
import Testing

@Suite("Directories of models")
struct ModelDirectoryTests {
    @Test("of commands that make the same model at once one succeeds, and its model is whole")
    func race() throws {
        try withFolder { folder in
            _ = try TinyTeacher.make(in: folder)
            let processes = try (1...4).map { seed in
                try RetortProcess(
                    [
                        "model", "new", "--tokenizer", "teacher", "--output", "made", "--seed",
                        "\(seed)", "--hidden-size", "16", "--heads", "2", "--layers", "2",
                    ],
                    in: folder
                )
            }
            let results = try processes.map { try $0.wait() }
            #expect(results.count { $0.code == 0 } == 1, "\(results.map(\.errors))")
            #expect(results.allSatisfy { [0, 73].contains($0.code) }, "\(results.map(\.errors))")
            let info = try RetortProcess.run(["model", "info", "made"], in: folder)
            #expect(info.code == 0, "\(info.errors)")
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(!names.contains { $0.hasSuffix(".tmp") }, "\(names)")
        }
    }

    @Test("a model is never written over by its own export")
    func ownExport() throws {
        try withFolder { folder in
            _ = try TinyTeacher.make(in: folder)
            let made = try makeFolder("models", in: folder)
            let first = try RetortProcess.run(
                ["model", "export", "teacher", "--output", "models/model.gguf", "--type", "f32"],
                in: folder
            )
            #expect(first.code == 0, "\(first.errors)")
            let file = made.appendingPathComponent("model.gguf")
            let before = try Data(contentsOf: file)
            for model in ["models/model.gguf", "models"] {
                let again = try RetortProcess.run(
                    ["model", "export", model, "--output", "models/model.gguf", "--replace"],
                    in: folder
                )
                #expect(again.code != 0, "\(again.errors)")
                #expect(try Data(contentsOf: file) == before)
            }
        }
    }
}

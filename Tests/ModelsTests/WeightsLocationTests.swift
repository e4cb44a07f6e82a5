import Foundation
import Testing

@testable import Models

@Suite("What a path to a model stands for")
struct WeightsLocationTests {
    @Test("GGUF models among files: parts count as one")
    func models() {
        #expect(
            GGUFSplit.models(among: ["b.gguf", "a.txt", "a.gguf", "gguf"]) == ["a.gguf", "b.gguf"]
        )
        #expect(
            GGUFSplit.models(among: ["x-y-00002-of-00003.gguf", "x-y-00003-of-00003.gguf"])
                == ["x-y-00001-of-00003.gguf"]
        )
        #expect(
            GGUFSplit.models(among: ["x-00001-of-00002.gguf", "x-00001-of-00003.gguf"]).count == 2
        )
        for odd in ["x-0001-of-00002.gguf", "-of-.gguf", "a-b-of-c.gguf", "x-00001-of-00000.gguf"] {
            #expect(GGUFSplit.models(among: [odd]) == [odd])
        }
    }

    @Test("one GGUF file, several, none, and one beside config.json")
    func directories() throws {
        try withScratchDirectory { folder in
            func put(_ name: String) throws {
                try Data().write(to: folder.appendingPathComponent(name))
            }
            #expect(try ModelLocation(folder) == .directory(folder))
            let nothing = #expect(throws: ModelError.self) { try Checkpoint(folder) }
            #expect(nothing?.kind == .missing && nothing?.message.contains("config.json") == true)
            try put("only.gguf")
            #expect(
                try ModelLocation(folder)
                    == .gguf(folder.appendingPathComponent("only.gguf").path)
            )
            try put("other.gguf")
            let several = #expect(throws: ModelError.self) { try ModelLocation(folder) }
            #expect(several?.kind == .mismatch)
            #expect(several?.description.contains("only.gguf, other.gguf") == true)
            try put("config.json")
            #expect(try ModelLocation(folder) == .directory(folder))
            let absent = folder.appendingPathComponent("absent")
            let missing = #expect(throws: ModelError.self) { try ModelLocation(absent) }
            #expect(missing?.kind == .missing)
        }
    }

    @Test("a directory with pickled weights alone is refused with the command that converts them")
    func pickled() throws {
        for name in ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "a.pt", "b.pth"] {
            try withScratchDirectory { folder in
                let model = folder.appendingPathComponent("it's a model")
                try FileManager.default.copyItem(at: ParityFixture("llama").directory, to: model)
                try FileManager.default.removeItem(
                    at: model.appendingPathComponent("model.safetensors")
                )
                try FileManager.default.removeItem(
                    at: model.appendingPathComponent("golden.safetensors")
                )
                try Data([0x80, 2]).write(to: model.appendingPathComponent("training_args.bin"))
                let without = #expect(throws: ModelError.self) { try Checkpoint(model) }
                #expect(without?.kind == .missing)
                try Data([0x80, 2]).write(to: model.appendingPathComponent(name))
                let error = #expect(throws: ModelError.self) { try Checkpoint(model) }
                #expect(error?.kind == .unsupported)
                #expect(error?.message.contains("(\(name))") == true)
                #expect(error?.remedy.contains("If you trust their source") == true)
                #expect(error?.remedy.contains("safe_serialization=True") == true)
                #expect(error?.remedy.contains("it'\\''s a model-safetensors'") == true)
            }
        }
    }

    @Test("a directory without safetensors, but with a GGUF file, says to name that")
    func besides() throws {
        try withScratchDirectory { folder in
            try FileManager.default.copyItem(
                at: ParityFixture("llama").directory.appendingPathComponent("config.json"),
                to: folder.appendingPathComponent("config.json")
            )
            try Data().write(to: folder.appendingPathComponent("m.gguf"))
            let error = #expect(throws: ModelError.self) { try Checkpoint(folder) }
            #expect(error?.remedy.contains("m.gguf, name the file itself") == true)
        }
    }
}

import Foundation
import Tensors
import Testing

@testable import Models

/// A tiny GGUF model and what it means (reference/gguf_goldens.py).
struct GGUFFixture {
    let url: URL
    let golden: SafetensorsFile

    static func folder() throws -> URL {
        try #require(Bundle.module.url(forResource: "Fixtures/gguf", withExtension: nil))
    }

    init(_ name: String) throws {
        let folder = try Self.folder()
        url = folder.appendingPathComponent("\(name).gguf")
        golden = try SafetensorsFile(
            path: folder.appendingPathComponent("\(name).safetensors").path
        )
    }

    /// The weights' names in a Hugging Face checkpoint.
    var parameterNames: [String] {
        golden.tensorNames.filter { $0.hasPrefix("param/") }.map { String($0.dropFirst(6)) }
    }
}

@Suite("GGUF models of each architecture")
struct WeightsArchitecturesTests {
    static let names = [
        "llama", "llama3", "mistral", "qwen2", "qwen3", "gpt2", "gptneox", "gptneox-serial",
        "gemma2", "gemma3", "phi3", "phi3-long", "olmo2",
    ]

    @Test("every weight is that of the model that was written, bit for bit", arguments: names)
    func weights(name: String) throws {
        let fixture = try GGUFFixture(name)
        let checkpoint = try Checkpoint(fixture.url)
        #expect(fixture.parameterNames.count > 10)
        for parameter in fixture.parameterNames {
            let shape = try fixture.golden.requiredInfo("param/\(parameter)").shape
            let expected = try fixture.golden.floats("param/\(parameter)", expecting: shape)
            let found = try checkpoint.parameter(parameter, shape)
            #expect(found.value.values == expected, "\(parameter)")
            guard shape.count == 2 else { continue }
            let middle = shape[0] / 3..<(shape[0] / 3 + 5)
            let rows = Matrix(uninitialized: 5, shape[1])
            try checkpoint.parameterRows(parameter, shape, rows: middle, into: rows.base)
            #expect(rows.values == found.value.slice(rows: middle).values, "\(parameter)")
        }
    }

    @Test("hidden states and logits are those of transformers", arguments: names)
    func forward(name: String) throws {
        let fixture = try GGUFFixture(name)
        let tokens = try fixture.golden.int64s("tokens").map { UInt32($0) }
        let offsets = try fixture.golden.int64s("offsets").map { Int($0) }
        let batch = VarlenBatch(zip(offsets, offsets.dropFirst()).map { Array(tokens[$0..<$1]) })
        let model = try Checkpoint(fixture.url).model()
        func golden(_ name: String, _ columns: Int) throws -> Matrix {
            let values = try fixture.golden.floats(name, expecting: [20, columns])
            return Matrix(values, rows: 20, columns: columns)
        }
        let hidden = model.hiddenStates(batch, tape: nil)
        #expect(largestDifference(hidden, try golden("hidden", 32)) < 2e-5)
        #expect(largestDifference(model.logits(hidden), try golden("logits", 61)) < 1e-4)
    }

    @Test("what all families state in the same way", arguments: names)
    func sizes(name: String) throws {
        let c = try Checkpoint(GGUFFixture(name).url).configuration
        #expect(c.hiddenSize == 32 && c.vocabularySize == 61 && c.maxPositions == 64)
        #expect(c.layerCount == (name == "gemma3" ? 7 : 2))
        #expect(c.headCount == 4)
        #expect(c.keyValueHeadCount == (name.hasPrefix("gpt") ? 4 : 2))
        #expect(c.headSize == (["llama3", "qwen3"].contains(name) ? 16 : 8))
        #expect(c.intermediateSize == (name == "gpt2" ? 128 : name == "gemma3" ? 32 : 64))
        #expect(c.beginOfSequence == 1 && c.endOfSequence == 2)
        #expect(c.tiesEmbeddings == ["llama3", "gpt2", "gemma2", "gemma3"].contains(name))
        #expect(
            c.attentionBias
                == ["llama", "qwen2", "gpt2", "gptneox", "gptneox-serial"]
                .contains(name)
        )
        #expect(abs(c.normEpsilon - (name.hasPrefix("gpt") || name == "phi3" ? 1e-5 : 1e-6)) < 1e-5)
    }

    @Test("GPT-NeoX: part of each head is turned; parallel or one after the other")
    func gptNeoX() throws {
        let parallel = try Checkpoint(GGUFFixture("gptneox").url).configuration
        #expect(parallel.modelType == "gpt_neox" && parallel.activation == .gelu)
        #expect(parallel.rotarySize == 4 && parallel.parallelResidual)
        let serial = try Checkpoint(GGUFFixture("gptneox-serial").url).configuration
        #expect(serial.rotarySize == 2 && !serial.parallelResidual)
    }

    @Test("Gemma: windows, soft-caps, scales, and what the file does not say")
    func gemma() throws {
        let second = try Checkpoint(GGUFFixture("gemma2").url).configuration
        #expect(second.modelType == "gemma2" && second.activation == .geluTanh)
        #expect(second.layerKinds == [.sliding, .full] && second.slidingWindow == 4)
        #expect(second.attentionSoftCap == 50 && second.logitSoftCap == 30)
        #expect(second.embeddingScale == Float(32).squareRoot())
        #expect(second.attentionScale == 1 / Float(8).squareRoot())
        let third = try Checkpoint(GGUFFixture("gemma3").url).configuration
        #expect(third.modelType == "gemma3_text")
        #expect(
            third.layerKinds == [.sliding, .sliding, .sliding, .sliding, .sliding, .full, .sliding]
        )
        #expect(third.ropeTheta == 1e6 && third.localRopeTheta == 1e4)
        #expect(third.ropeScaling == .linear(factor: 8))
        #expect(third.attentionSoftCap == nil && third.logitSoftCap == nil)
    }

    @Test("tables of rotary factors become the scaling that made them")
    func ropeTables() throws {
        let llama = try Checkpoint(GGUFFixture("llama3").url).configuration
        #expect(llama.ropeScaling == .llama3(RopeScaling.Llama3()) && llama.ropeTheta == 500_000)
        let phi = try Checkpoint(GGUFFixture("phi3-long").url).configuration
        guard case .longRope(let scaling) = phi.ropeScaling else {
            Issue.record("\(String(describing: phi.ropeScaling))")
            return
        }
        #expect(scaling.shortFactors == [1, 1.5, 2, 2.5] && scaling.longFactors == [1, 3, 5, 7])
        #expect(scaling.originalMaxPositions == 8)
        #expect(abs((scaling.attentionFactor ?? 0) - Float(2).squareRoot()) < 1e-6)
        let windowed = try Checkpoint(GGUFFixture("phi3").url).configuration
        #expect(windowed.slidingWindow == 5 && windowed.layerKinds == [.sliding, .sliding])
        #expect(windowed.ropeScaling == nil)
    }

    @Test("any part of a split model opens all of it")
    func split() throws {
        let whole = try GGUFFile(path: GGUFFixture("qwen2").url.path)
        let folder = try GGUFFixture.folder().appendingPathComponent("split")
        for part in 1...3 {
            let path = folder.appendingPathComponent("tiny-0000\(part)-of-00003.gguf")
            let file = try GGUFFile(path: path.path)
            #expect(file.paths.map { $0.suffix(19) }.first == "-00001-of-00003.gguf".suffix(19))
            #expect(file.paths.count == 3 && file.path == file.paths[0])
            #expect(file.tensorNames == whole.tensorNames)
            for name in file.tensorNames {
                #expect(try allFloats(file, name) == allFloats(whole, name))
            }
            #expect(try Checkpoint(path).configuration.layerCount == 2)
        }
    }

    @Test("a directory with one GGUF model and no config.json opens")
    func directory() throws {
        let folder = try GGUFFixture.folder().appendingPathComponent("split")
        let checkpoint = try Checkpoint(folder)
        #expect(checkpoint.configuration.modelType == "qwen2")
        #expect(checkpoint.files.count == 3)
        let error = #expect(throws: ModelError.self) { try Checkpoint(GGUFFixture.folder()) }
        #expect(error?.message.contains("13 GGUF models") == true)
    }

    @Test("a summary counts tensors, parameters and bytes by encoding")
    func summary() throws {
        let summary = try Checkpoint(GGUFFixture("qwen2").url).summary
        #expect(Set(summary.types.map(\.type)) == [.f32, .bf16, .q8_0])
        #expect(summary.types.map(\.bytes) == summary.types.map(\.bytes).sorted(by: >))
        let golden = try GGUFFixture("qwen2").golden
        let parameters = golden.tensorNames.filter { $0.hasPrefix("param/") }
            .compactMap { golden.info($0)?.elementCount }.reduce(0, +)
        #expect(summary.parameters == parameters)
        #expect(summary.types.first { $0.type == .q8_0 }?.bytes == (2 * 1024 + 2 * 2048) / 32 * 34)
        #expect(summary.files.count == 1)
    }
}

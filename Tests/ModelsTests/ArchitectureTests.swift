import Foundation
import Models
import Tensors
import Testing

@Suite("Architectures")
struct ArchitectureTests {
    private func withFolder(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "architecture-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder)
    }

    @Test(
        "layer by layer, as extraction runs a model, gives the same",
        arguments: ParityTests.names
    )
    func layerByLayer(name: String) throws {
        let fixture = try ParityFixture(name)
        let checkpoint = try Checkpoint(fixture.directory)
        let architecture = checkpoint.architecture
        let x = embed(
            fixture.batch,
            try architecture.tokenEmbedding(from: checkpoint),
            try architecture.positionEmbedding(from: checkpoint),
            scale: checkpoint.configuration.embeddingScale
        )
        for index in 0..<checkpoint.configuration.layerCount {
            let block = try architecture.block(index, from: checkpoint)
            block.pack(.f32)
            block.forward(x, BlockContext(fixture.batch))
        }
        let hidden = try architecture.finalNorm(from: checkpoint)(x)
        let expected = try checkpoint.model().hiddenStates(fixture.batch, tape: nil)
        #expect(largestDifference(hidden, expected) == 0)
    }

    @Test("bf16 is as close as bf16 is", arguments: ParityTests.names)
    func bf16(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        let expected = model.hiddenStates(fixture.batch, tape: nil)
        model.pack(.bf16)
        let found = model.hiddenStates(fixture.batch, tape: nil)
        let error = zip(found.values, expected.values).reduce(0) {
            $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
        }
        let size = expected.values.reduce(0) { $0 + $1 * $1 }
        // Rounding to eight bits makes errors of 0.4 %, of which a few layers make several.
        #expect(error.squareRoot() < 0.05 * size.squareRoot())
    }

    @Test("a new model of every family exports and loads again", arguments: ParityTests.names)
    func newModels(name: String) throws {
        let fixture = try ParityFixture(name)
        let configuration = try Checkpoint(fixture.directory).configuration
        let model = try TransformerModel.random(configuration, seed: 3)
        let logits = model.logits(model.hiddenStates(fixture.batch, tape: nil))
        let finite = logits.values.allSatisfy { $0.isFinite }
        #expect(finite)
        #expect(Set(logits.values).count > 100)
        try withFolder { folder in
            try exportHuggingFace(model, to: folder)
            let again = try Checkpoint(folder).model()
            #expect(again.configuration == configuration)
            let same = again.logits(again.hiddenStates(fixture.batch, tape: nil))
            #expect(largestDifference(logits, same) == 0)
        }
    }

    /// Writes a fixture's tensors under other names, with its config.json or another one.
    private func renamed(
        _ name: String,
        to folder: URL,
        config: [String: Any]? = nil,
        extra: [String] = [],
        _ rename: (String) -> String
    ) throws {
        let directory = try ParityFixture(name).directory
        let file = try SafetensorsFile(
            path: directory.appendingPathComponent("model.safetensors").path
        )
        let tensors = try file.tensorNames.map { name in
            let info = try file.requiredInfo(name)
            let floats = try file.floats(name, expecting: info.shape)
            return (rename(name), info.shape, Matrix(floats, rows: 1, columns: floats.count))
        }
        let more = extra.map { ($0, [2], Matrix(zeros: 1, 2)) }
        try SafetensorsWriter.write(
            (tensors + more).map {
                ($0.0, $0.1, UnsafeBufferPointer(start: $0.2.base, count: $0.2.count))
            },
            type: .f32,
            to: folder.appendingPathComponent("model.safetensors")
        )
        let original = try Data(contentsOf: directory.appendingPathComponent("config.json"))
        let target = folder.appendingPathComponent("config.json")
        guard let config else { return try original.write(to: target) }
        var whole = config
        whole["text_config"] = try JSONSerialization.jsonObject(with: original)
        try JSONSerialization.data(withJSONObject: whole).write(to: target)
    }

    private func expectSame(_ folder: URL, _ name: String) throws {
        let fixture = try ParityFixture(name)
        let hidden = try Checkpoint(folder).model().hiddenStates(fixture.batch, tape: nil)
        #expect(largestDifference(hidden, try fixture.matrix("hidden")) < 2e-5)
    }

    @Test(
        "the text part of a Gemma 3 that sees loads by both of its names",
        arguments: ["language_model.model.", "model.language_model."]
    )
    func vision(prefix: String) throws {
        try withFolder { folder in
            let tower = prefix.hasPrefix("model.") ? "model.vision_tower.x" : "vision_tower.x"
            try renamed(
                "gemma3",
                to: folder,
                config: ["model_type": "gemma3", "vision_config": ["hidden_size": 4]],
                extra: [tower]
            ) { prefix + $0.dropFirst("model.".count) }
            try expectSame(folder, "gemma3")
        }
    }

    @Test("heads, prefixes and masks of other versions of a family are known")
    func otherNames() throws {
        try withFolder { folder in
            try renamed("gpt_neox", to: folder, extra: ["gpt_neox.layers.0.attention.bias"]) {
                $0 == "embed_out.weight" ? "lm_head.weight" : $0
            }
            try expectSame(folder, "gpt_neox")
        }
        try withFolder { folder in
            try renamed("gpt2", to: folder, extra: ["h.0.attn.bias"]) {
                $0.hasPrefix("transformer.") ? String($0.dropFirst("transformer.".count)) : $0
            }
            try expectSame(folder, "gpt2")
        }
    }

    @Test("a tensor without a place in the model is refused by name")
    func strangers() throws {
        try withFolder { folder in
            try renamed("olmo2", to: folder, extra: ["model.layers.0.input_layernorm.weight"]) {
                $0
            }
            let error = #expect(throws: ModelError.self) { _ = try Checkpoint(folder).model() }
            #expect(error?.description.contains("model.layers.0.input_layernorm.weight") == true)
        }
    }

    @Test("a pruned model keeps each layer's kind of attention")
    func pruning() throws {
        let checkpoint = try Checkpoint(ParityFixture("gemma3").directory)
        let model = try TransformerModel.pruned(checkpoint, to: ModelCut(layers: [0, 1]))
        #expect(model.configuration.layerKinds == [.sliding, .full])
        let other = try TransformerModel.pruned(checkpoint, to: ModelCut(layers: [1]))
        #expect((0..<1).map { other.configuration.window(ofLayer: $0) } == [nil])
        #expect(other.parameters.contains { $0.name == "model.layers.0.self_attn.q_norm.weight" })
    }
}

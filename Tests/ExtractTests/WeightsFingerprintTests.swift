import Extract
import Foundation
import Models
import Testing

@Suite("Fingerprints of weights")
struct WeightsFingerprintTests {
    @Test("an adapter changes the fingerprint, and so does another one")
    func adapters() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "retort-fingerprint-\(UUID().uuidString)"
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let model = folder.appendingPathComponent("model")
        let configuration = ModelConfiguration.gpt2(
            hiddenSize: 8,
            layerCount: 1,
            headCount: 2,
            vocabularySize: 16,
            maxPositions: 8
        )
        try exportHuggingFace(TransformerModel.random(configuration, seed: 1), to: model)
        let plain = try weightsFingerprint(model)
        #expect(try plain == weightsFingerprint(Checkpoint(model)))

        let adapter = folder.appendingPathComponent("adapter")
        try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
        func write(_ alpha: Int, _ value: Float) throws {
            let settings = "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": \(alpha)}"
            try Data(settings.utf8)
                .write(to: adapter.appendingPathComponent("adapter_config.json"))
            let values = [Float](repeating: value, count: 48)
            let module = "base_model.model.transformer.h.0.attn.c_attn"
            try values.withUnsafeBufferPointer { values in
                try SafetensorsWriter.write(
                    [
                        (
                            name: "\(module).lora_A.weight", shape: [2, 8],
                            values: UnsafeBufferPointer(rebasing: values[..<16])
                        ), (name: "\(module).lora_B.weight", shape: [24, 2], values: values),
                    ],
                    type: .f32,
                    to: adapter.appendingPathComponent("adapter_model.safetensors")
                )
            }
        }
        var seen = [plain]
        for (alpha, value) in [(2, Float(1)), (3, 1), (2, 0.5)] {
            try write(alpha, value)
            let fingerprint = try weightsFingerprint(model, adapter: adapter)
            #expect(!seen.contains(fingerprint))
            #expect(try fingerprint == weightsFingerprint(model, adapter: adapter))
            seen.append(fingerprint)
        }
        #expect(try weightsFingerprint(model) == plain)
    }
}

import Foundation
import Models
import Tensors
import Testing

@testable import Distill

/// Two optimiser steps of transformers, PEFT and torch on a tiny model (reference/training_goldens.py).
private struct StepGolden {
    let file: SafetensorsFile
    let model: TransformerModel
    let examples: [PlainTraining.Example]

    /// - Parameter name: A model of Tests/ModelsTests/Fixtures/parity, after `lora_` where factors are
    ///   trained.
    init(_ name: String) throws {
        let root = try #require(Bundle.module.resourceURL)
        let url = root.appendingPathComponent("Fixtures/training/\(name).safetensors")
        file = try SafetensorsFile(path: url.path)
        let base = name.hasPrefix("lora_") ? String(name.dropFirst(5)) : name
        let models = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../ModelsTests/Fixtures/parity").standardizedFileURL
        model = try Checkpoint(models.appendingPathComponent(base)).model()
        let tokens = try file.int64s("tokens").map { UInt32($0) }
        let offsets = try file.int64s("offsets").map { Int($0) }
        let supervised = try file.int64s("supervised").map { Int($0) }
        examples = offsets.indices.dropLast().map { index in
            PlainTraining.Example(
                tokens: Array(tokens[offsets[index]..<offsets[index + 1]]),
                supervised: supervised[2 * index]..<supervised[2 * index + 1]
            )
        }
    }

    func numbers(_ name: String) throws -> [Float] {
        try file.floats(name, expecting: try file.requiredInfo(name).shape)
    }

    /// ‖found - expected‖ / ‖expected‖.
    ///
    /// Of GPT-2's fused bias without the keys' part: softmax does not see it, so its gradient is rounding
    /// alone, which AdamW makes steps of.
    func distance(_ name: String, _ found: [Float]) throws -> Double {
        var (found, expected) = (found, try numbers(name))
        #expect(found.count == expected.count, "\(name)")
        if name.hasSuffix("c_attn.bias") {
            let keys = (found.count / 3)..<(2 * found.count / 3)
            found.removeSubrange(keys)
            expected.removeSubrange(keys)
        }
        let (difference, size) = zip(found, expected).reduce((0.0, 0.0)) {
            let (a, b) = (Double($1.0), Double($1.1))
            return ($0.0 + (a - b) * (a - b), $0.1 + b * b)
        }
        return (difference / max(size, 1e-30)).squareRoot()
    }

    /// The names of tensors that start so, without the start.
    func names(_ prefix: String) -> Set<String> {
        Set(
            file.tensorNames.filter { $0.hasPrefix(prefix) }.map {
                String($0.dropFirst(prefix.count))
            }
        )
    }
}

@Suite("Optimiser steps against PyTorch")
struct StepParityTests {
    static let settings = {
        var settings = DistillSettings(cache: "-", output: "-", student: "-")
        settings.learningRate = 1e-2
        settings.weightDecay = 0.01
        settings.clip = 1
        return settings
    }()

    private func check(_ golden: StepGolden, _ settings: DistillSettings) throws {
        let parameters = golden.model.trainedParameters
        #expect(golden.names("grad/") == Set(parameters.map(\.name)))
        // A step that changes nothing leaves its gradients to look at.
        let still = try PlainTraining(model: golden.model, settings: settings)
        let gradients = try still.gradients([golden.examples])
        for parameter in parameters {
            let gradient = try #require(gradients[parameter.name])
            let distance = try golden.distance("grad/\(parameter.name)", gradient.values)
            #expect(distance < 1e-4, "\(parameter.name)")
        }
        let training = try PlainTraining(model: golden.model, settings: settings)
        let (losses, norms) = (try golden.numbers("loss"), try golden.numbers("norm"))
        for step in losses.indices {
            let result = try training.step([golden.examples])
            #expect(abs(result.loss - Double(losses[step])) < 1e-5 * Double(losses[step]))
            #expect(abs(result.gradientNorm - Double(norms[step])) < 1e-4 * Double(norms[step]))
        }
        for parameter in parameters {
            let distance = try golden.distance("after/\(parameter.name)", parameter.value.values)
            #expect(distance < 1e-4, "\(parameter.name)")
        }
    }

    @Test(
        "loss, every gradient and every weight after AdamW are transformers' and torch's",
        arguments: ["gpt2", "llama", "llama3", "llama_bias", "mistral", "qwen2", "qwen3"]
    )
    func whole(name: String) throws {
        try check(try StepGolden(name), Self.settings)
    }

    @Test("and those of low-rank factors are PEFT's", arguments: ["gpt2", "llama", "qwen3"])
    func lora(name: String) throws {
        let golden = try StepGolden("lora_\(name)")
        var options = LoraOptions()
        (options.rank, options.alpha) = (4, 8)
        options.targets = name == "qwen3" ? ["q_proj", "v_proj"] : [LoraOptions.allLinear]
        golden.model.addLora(options, seed: 1)
        for parameter in golden.model.trainedParameters {
            let first = try golden.numbers("first/\(parameter.name)")
            #expect(first.count == parameter.value.count)
            for (index, number) in first.enumerated() { parameter.value.base[index] = number }
        }
        try check(golden, Self.settings)
    }

    @Test("micro-batches, a pass for each example and recomputed blocks change nothing that shows")
    func pieces() throws {
        let whole = try StepGolden("llama")
        let parts = try StepGolden("llama")
        var settings = Self.settings
        settings.gradientCheckpointing = true
        let one = try PlainTraining(model: whole.model, settings: Self.settings)
        let several = try PlainTraining(model: parts.model, settings: settings)
        for _ in 0..<2 {
            let expected = try one.step([whole.examples])
            let found = try several.step(parts.examples.map { [$0] })
            #expect(abs(found.loss - expected.loss) < 1e-6)
        }
        for (a, b) in zip(whole.model.parameters, parts.model.parameters) {
            #expect(try whole.distance("after/\(a.name)", b.value.values) < 1e-4)
        }
    }
}

import Foundation
import Models
import Tensors
import Testing

@Suite("Passes of training")
struct TrainingPassTests {
    /// A tiny model ready to train, its batch, and a cotangent of its hidden states.
    private struct World {
        let model: TransformerModel
        let batch: VarlenBatch
        let cotangent: Matrix

        init(
            _ name: String,
            compute: ComputeType = .f32,
            lora: LoraOptions? = nil
        ) throws {
            let fixture = try ParityFixture(name)
            model = try Checkpoint(fixture.directory).model()
            batch = fixture.batch
            cotangent = try fixture.matrix("d_hidden")
            if let lora { model.addLora(lora, seed: 3) }
            for parameter in model.trainedParameters { parameter.prepareGradient() }
            model.prepareTraining(compute)
        }

        /// Gradients of sum(hidden * cotangent) for what is trained, from zero.
        func gradients(_ pass: TrainingPass = TrainingPass()) -> [String: Matrix] {
            for parameter in model.trainedParameters { parameter.gradient?.fill(0) }
            let tape = Tape(pass: pass)
            _ = model.hiddenStates(batch, tape: tape)
            model.backward(cotangent.copied(), tape: tape)
            return Dictionary(
                uniqueKeysWithValues: model.trainedParameters.compactMap { parameter in
                    parameter.gradient.map { (parameter.name, $0.copied()) }
                }
            )
        }

        /// sum(hidden * cotangent), in double.
        func loss(_ pass: TrainingPass) -> Double {
            let hidden = model.hiddenStates(batch, tape: Tape(pass: pass))
            return zip(hidden.values, cotangent.values).reduce(0) {
                $0 + Double($1.0) * Double($1.1)
            }
        }

        /// Holds some gradients of each parameter against central differences.
        func checkDifferences(_ pass: TrainingPass, sourceLocation: SourceLocation) {
            let gradients = gradients(pass)
            var random = RandomNumbers(seed: 5, purpose: "places")
            for parameter in model.trainedParameters {
                guard let gradient = gradients[parameter.name] else { continue }
                let norm = gradient.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                // Along a random direction: single weights' differences drown in float32.
                let direction = gradient.values.map { _ in random.normal() }
                let expected = zip(gradient.values, direction).reduce(0) {
                    $0 + Double($1.0) * Double($1.1)
                }
                let kept = parameter.value.copied()
                func moved(_ step: Float) -> Double {
                    for (index, d) in direction.enumerated() {
                        parameter.value.base[index] = kept.base[index] + step * d
                    }
                    model.weightsChanged()
                    defer {
                        parameter.value.assign(kept)
                        model.weightsChanged()
                    }
                    return loss(pass)
                }
                let h: Float = 1e-3
                let found = (moved(h) - moved(-h)) / Double(2 * h)
                #expect(
                    abs(found - expected) < 2e-2 * max(norm, 0.05),
                    "\(parameter.name): \(found), expected \(expected)",
                    sourceLocation: sourceLocation
                )
            }
        }
    }

    static let names = ["gpt2", "llama", "qwen3", "gpt_neox", "olmo2", "gemma2", "phi3"]

    @Test("a block that is run again gives the same bits", arguments: names, [Float(0), 0.2])
    func recomputed(name: String, dropout: Float) throws {
        let world = try World(name)
        var pass = TrainingPass()
        (pass.dropout, pass.attentionDropout, pass.noise) = (dropout, dropout, 7)
        let plain = world.gradients(pass)
        pass.recomputesBlocks = true
        let again = world.gradients(pass)
        #expect(plain.count == again.count && !plain.isEmpty)
        for (key, gradient) in plain { #expect(again[key]?.values == gradient.values, "\(key)") }
    }

    @Test(
        "gradients under dropout equal central differences",
        arguments: ["gpt2", "llama", "gemma2"]
    )
    func dropout(name: String) throws {
        var pass = TrainingPass()
        (pass.dropout, pass.attentionDropout, pass.noise) = (0.3, 0.2, 11)
        try World(name).checkDifferences(pass, sourceLocation: #_sourceLocation)
    }

    @Test("the same noise gives the same masks, another one others, none is plain inference")
    func noise() throws {
        let world = try World("gpt2")
        var pass = TrainingPass()
        (pass.dropout, pass.noise) = (0.5, 1)
        let first = world.loss(pass)
        #expect(world.loss(pass) == first)
        pass.noise = 2
        #expect(world.loss(pass) != first)
        let plain = world.model.hiddenStates(world.batch, tape: nil)
        let taped = world.model.hiddenStates(world.batch, tape: Tape())
        #expect(plain.values == taped.values)
    }

    @Test("a share of about the rate is dropped and the mean stays")
    func share() throws {
        let world = try World("gpt2")
        var pass = TrainingPass()
        pass.dropout = 0.25
        // The first state that is kept is the embedding's output after its mask.
        var (zeros, count) = (0, 0)
        for noise in 0..<40 {
            pass.noise = UInt64(noise)
            let tape = Tape(keeping: [0], pass: pass)
            _ = world.model.hiddenStates(world.batch, tape: tape)
            let state = try #require(tape.layerStates[0])
            zeros += state.values.count { $0 == 0 }
            count += state.count
        }
        let share = Double(zeros) / Double(count)
        #expect(abs(share - 0.25) < 0.01)
    }

    @Test("bfloat16 gradients are near float32's", arguments: names)
    func rounded(name: String) throws {
        let plain = try World(name).gradients()
        let rounded = try World(name, compute: .bf16).gradients()
        for (key, gradient) in plain {
            let other = try #require(rounded[key])
            let difference = zip(gradient.values, other.values).reduce(0) {
                $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
            }
            let size = gradient.values.reduce(0) { $0 + $1 * $1 }
            #expect(difference.squareRoot() < 0.1 * size.squareRoot() + 1e-6, "\(key)")
        }
    }

    @Test("gradients of low-rank factors equal central differences", arguments: ["gpt2", "llama"])
    func loraGradients(name: String) throws {
        var options = LoraOptions()
        (options.rank, options.dropout, options.targets) = (3, 0.2, [LoraOptions.allLinear])
        let world = try World(name, lora: options)
        var random = RandomNumbers(seed: 1, purpose: "B")
        for parameter in world.model.trainedParameters where parameter.name.contains("lora_B") {
            parameter.value.fillNormal(deviation: 0.1, using: &random)
        }
        world.model.weightsChanged()
        var pass = TrainingPass()
        pass.noise = 4
        world.checkDifferences(pass, sourceLocation: #_sourceLocation)
    }

    @Test(
        "factors start without effect, and merged they have theirs",
        arguments: ["gpt2", "qwen3"]
    )
    func merged(name: String) throws {
        var options = LoraOptions()
        options.targets = [LoraOptions.allLinear]
        let (plain, world) = (try World(name), try World(name, lora: options))
        let before = plain.model.hiddenStates(plain.batch, tape: nil)
        #expect(world.model.hiddenStates(world.batch, tape: nil).values == before.values)
        var random = RandomNumbers(seed: 2, purpose: "B")
        for parameter in world.model.trainedParameters where parameter.name.contains("lora_B") {
            parameter.value.fillNormal(deviation: 0.1, using: &random)
        }
        world.model.weightsChanged()
        let changed = world.model.hiddenStates(world.batch, tape: nil)
        #expect(largestDifference(changed, before) > 1e-3)

        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            UUID().uuidString
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        let whole = folder.appendingPathComponent("whole")
        try exportHuggingFace(world.model, to: whole)
        let merged = try Checkpoint(whole).model()
        #expect(largestDifference(merged.hiddenStates(world.batch, tape: nil), changed) < 1e-5)
        // The same from base and adapter, as PEFT's directories are read.
        let adapter = folder.appendingPathComponent("adapter")
        try exportAdapter(world.model, options, base: "base", to: adapter)
        let base = try ParityFixture(name).directory
        let read = try Checkpoint(base, adapter: adapter).model()
        #expect(largestDifference(read.hiddenStates(world.batch, tape: nil), changed) < 1e-5)
    }
}

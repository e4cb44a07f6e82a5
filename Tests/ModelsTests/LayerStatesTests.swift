import Tensors
import Testing

@testable import Models

@Suite("States of chosen layers")
struct LayerStatesTests {
    private func model() throws -> TransformerModel {
        let model = try TransformerModel.random(
            .gpt2(hiddenSize: 8, layerCount: 3, headCount: 2, vocabularySize: 20, maxPositions: 12),
            seed: 4
        )
        for parameter in model.parameters { parameter.prepareGradient() }
        model.prepareTraining(.f32)
        return model
    }

    private let batch = VarlenBatch([[3, 7, 1, 19], [4, 4]])

    @Test("they are kept where asked for, and the rest changes nothing")
    func kept() throws {
        let model = try model()
        let tape = Tape(keeping: [0, 2, 9])
        let hidden = model.hiddenStates(batch, tape: tape)
        #expect(Set(tape.layerStates.keys) == [0, 2])
        #expect(hidden.values == model.hiddenStates(batch, tape: nil).values)
        let first = try #require(tape.layerStates[0])
        let embedded = model.embed(batch.tokens, positions: batch.positions)
        #expect(first.values == embedded.values)
    }

    @Test("gradients that flow in there agree with central differences")
    func gradients() throws {
        let model = try model()
        var random = RandomNumbers(seed: 2, purpose: "layer gradients")
        let layers = [0, 1, 2, 3]
        let weights = layers.map { _ in
            let weight = Matrix(uninitialized: 6, 8)
            weight.fillNormal(deviation: 1, using: &random)
            return weight
        }
        func loss() -> Double {
            let tape = Tape(keeping: Set(layers))
            _ = model.hiddenStates(batch, tape: tape)
            return zip(layers, weights).reduce(0.0) { sum, pair in
                let states = tape.layerStates[pair.0]?.values ?? []
                return sum + zip(states, pair.1.values).reduce(0.0) { $0 + Double($1.0 * $1.1) }
            }
        }
        let tape = Tape(keeping: Set(layers))
        _ = model.hiddenStates(batch, tape: tape)
        tape.layerGradients = Dictionary(uniqueKeysWithValues: zip(layers, weights))
        model.backward(Matrix(zeros: 6, 8), tape: tape)
        for parameter in model.parameters {
            let direction = (0..<parameter.value.count).map { _ in random.normal() }
            let start = parameter.value.values
            func shifted(_ step: Float) -> Double {
                for i in start.indices { parameter.value.base[i] = start[i] + step * direction[i] }
                return loss()
            }
            let numeric = (shifted(2e-4) - shifted(-2e-4)) / 4e-4
            _ = shifted(0)
            let gradient = parameter.gradient?.values ?? []
            let analytic = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0 * $1.1) }
            #expect(
                abs(numeric - analytic) < 1e-2 * max(1, abs(numeric)),
                "\(parameter.name): \(numeric), \(analytic)"
            )
        }
    }
}

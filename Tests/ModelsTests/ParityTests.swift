import Foundation
import Models
import Tensors
import Testing

/// What transformers computed for a tiny random model (reference/model_goldens.py).
struct ParityFixture {
    let directory: URL
    let golden: SafetensorsFile
    let batch: VarlenBatch

    init(_ name: String) throws {
        let root = try #require(Bundle.module.resourceURL)
        directory = root.appendingPathComponent("Fixtures/parity/\(name)")
        golden = try SafetensorsFile(
            path: directory.appendingPathComponent("golden.safetensors").path
        )
        let tokens = try golden.int64s("tokens").map { UInt32($0) }
        let offsets = try golden.int64s("offsets").map { Int($0) }
        batch = VarlenBatch(zip(offsets, offsets.dropFirst()).map { Array(tokens[$0..<$1]) })
    }

    func matrix(_ name: String) throws -> Matrix {
        let info = try golden.requiredInfo(name)
        let columns = info.shape.last ?? 1
        return Matrix(
            try golden.floats(name, expecting: info.shape),
            rows: info.elementCount / columns,
            columns: columns
        )
    }
}

func largestDifference(_ a: Matrix, _ b: Matrix) -> Float {
    zip(a.values, b.values).map { abs($0 - $1) }.max() ?? .infinity
}

@Suite("Models against transformers")
struct ParityTests {
    static let names = [
        "gpt2", "llama", "llama3", "llama_bias", "mistral", "qwen2", "qwen3", "olmo2", "phi3",
        "gpt_neox", "gpt_neox_serial", "gemma2", "gemma3",
    ]

    @Test("hidden states and logits agree", arguments: names)
    func forward(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        let hidden = model.hiddenStates(fixture.batch, tape: nil)
        #expect(largestDifference(hidden, try fixture.matrix("hidden")) < 2e-5)
        let expected = try fixture.matrix("logits")
        let scale = max(1, expected.values.map(abs).max() ?? 1)
        #expect(largestDifference(model.logits(hidden), expected) < 2e-5 * scale)
    }

    @Test("far positions agree, where the angles' own rounding shows", arguments: names.dropFirst())
    func farPositions(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        let batch = VarlenBatch([(0..<2_000).map { UInt32((7 * $0 + 3) % 60) }])
        let hidden = model.hiddenStates(batch, tape: nil)
        let file = try SafetensorsFile(
            path: fixture.directory.appendingPathComponent("long.safetensors").path
        )
        let expected = Matrix(
            try file.floats("hidden", expecting: [4, hidden.columns]),
            rows: 4,
            columns: hidden.columns
        )
        #expect(largestDifference(hidden.slice(rows: 1_996..<2_000), expected) < 2e-5)
    }

    @Test("the gradient of every parameter agrees", arguments: names)
    func backward(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        for parameter in model.parameters { parameter.prepareGradient() }
        model.prepareTraining(.f32)
        let tape = Tape()
        _ = model.hiddenStates(fixture.batch, tape: tape)
        model.backward(try fixture.matrix("d_hidden"), tape: tape)
        for parameter in model.parameters {
            // The head has no part in the hidden states, so torch gives it no gradient.
            guard fixture.golden.info("grad/\(parameter.name)") != nil else {
                #expect(parameter === model.outputHead)
                continue
            }
            let expected = try fixture.matrix("grad/\(parameter.name)")
            let gradient = try #require(parameter.gradient)
            let scale = max(1, expected.values.map(abs).max() ?? 1)
            #expect(
                largestDifference(gradient.reshaped(expected.rows, expected.columns), expected)
                    < 1e-4 * scale,
                "\(parameter.name)"
            )
        }
    }

    @Test("gradients agree with central differences", arguments: names)
    func finiteDifferences(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        for parameter in model.parameters { parameter.prepareGradient() }
        model.prepareTraining(.f32)
        let cotangent = try fixture.matrix("d_hidden")
        func loss() -> Double {
            zip(model.hiddenStates(fixture.batch, tape: nil).values, cotangent.values)
                .reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        let tape = Tape()
        _ = model.hiddenStates(fixture.batch, tape: tape)
        model.backward(cotangent.copied(), tape: tape)
        for parameter in model.parameters where fixture.golden.info("grad/\(parameter.name)") != nil
        {
            let gradient = try #require(parameter.gradient)
            // The largest entry of each gradient: float32 noise hides small ones.
            let values = gradient.values
            let at = try #require(values.indices.max { abs(values[$0]) < abs(values[$1]) })
            let (row, column) = (at / gradient.columns, at % gradient.columns)
            let original = parameter.value[row, column]
            let h: Float = 2e-3
            parameter.value[row, column] = original + h
            let up = loss()
            parameter.value[row, column] = original - h
            let down = loss()
            parameter.value[row, column] = original
            let expected = (up - down) / Double(2 * h)
            #expect(
                abs(Double(values[at]) - expected) < 0.02 * max(0.5, abs(expected)),
                "\(parameter.name): \(values[at]) against \(expected)"
            )
        }
    }

    @Test("a sequence's hidden states do not depend on its neighbours", arguments: names)
    func independence(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        let all = model.hiddenStates(fixture.batch, tape: nil)
        for index in 0..<fixture.batch.sequenceCount {
            let range = fixture.batch.offsets[index]..<fixture.batch.offsets[index + 1]
            let alone = model.hiddenStates(
                VarlenBatch([Array(fixture.batch.tokens[range])]),
                tape: nil
            )
            #expect(largestDifference(alone, all.slice(rows: range).copied()) < 1e-5)
        }
    }

    @Test("an exported model loads again with the same numbers", arguments: names)
    func export(name: String) throws {
        let fixture = try ParityFixture(name)
        let model = try Checkpoint(fixture.directory).model()
        // reference/export_parity.py reads what is left there.
        let kept = ProcessInfo.processInfo.environment["RETORT_EXPORTS"]
        let directory =
            kept.map { URL(fileURLWithPath: $0).appendingPathComponent(name) }
            ?? FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        defer { if kept == nil { try? FileManager.default.removeItem(at: directory) } }
        try exportHuggingFace(model, to: directory)
        let again = try Checkpoint(directory).model()
        #expect(again.configuration == model.configuration)
        for (a, b) in zip(model.parameters, again.parameters) {
            #expect(a.name == b.name && a.value.values == b.value.values)
        }
        let logits = model.logits(model.hiddenStates(fixture.batch, tape: nil))
        let same = again.logits(again.hiddenStates(fixture.batch, tape: nil))
        #expect(largestDifference(logits, same) == 0)
    }
}

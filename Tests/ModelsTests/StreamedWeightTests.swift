import Foundation
import Tensors
import Testing

@testable import Models

@Suite("Models written as they are read")
struct StreamedWeightTests {
    @Test(
        "an adapter merged into its base is what PEFT merges",
        arguments: WeightsAdapterTests.adapters
    )
    func merged(name: String, base: String) throws {
        let adapter = try #require(
            Bundle.module.url(forResource: "Fixtures/lora/\(name)", withExtension: nil)
        )
        let golden = try SafetensorsFile(
            path: adapter.appendingPathComponent("merged.safetensors").path
        )
        let directory = try ParityFixture(base).directory
        let checkpoint = try Checkpoint(directory, adapter: adapter)
        try withScratchDirectory { folder in
            try exportHuggingFace(
                checkpoint.streamedWeights(),
                checkpoint.configuration,
                to: folder
            )
            let merged = try Checkpoint(folder).model()
            let plain = try Checkpoint(directory).model()
            for (parameter, before) in zip(merged.parameters, plain.parameters) {
                guard golden.info(parameter.name) != nil else {
                    #expect(parameter.value.values == before.value.values, "\(parameter.name)")
                    continue
                }
                let expected = try golden.floats(parameter.name, expecting: parameter.shape)
                let difference = zip(parameter.value.values, expected).map { abs($0 - $1) }.max()
                #expect((difference ?? 1) < 1e-6, "\(parameter.name)")
            }
        }
    }

    @Test("every model streamed is the model loaded", arguments: ParityTests.names)
    func whole(name: String) throws {
        let checkpoint = try Checkpoint(ParityFixture(name).directory)
        let parameters = try checkpoint.model().parameters
        let streamed = try checkpoint.streamedWeights()
        #expect(streamed.map(\.name).sorted() == parameters.map(\.name).sorted())
        for weight in streamed {
            let parameter = try #require(parameters.first { $0.name == weight.name })
            #expect(weight.shape == parameter.shape)
            #expect(try weight.matrix().values == parameter.value.values)
        }
    }

    @Test(
        "new rows are the mean of those that a token had",
        arguments: ["llama", "llama3", "gpt2"]
    )
    func resized(name: String) throws {
        let checkpoint = try Checkpoint(ParityFixture(name).directory)
        let rows = checkpoint.configuration.vocabularySize
        // Two rows without a token, five new tokens, and padding.
        let (weights, configuration) = try checkpoint.resized(
            tokens: rows - 2,
            to: rows + 3,
            multipleOf: 8
        )
        #expect(configuration.vocabularySize == (rows + 3 + 7) / 8 * 8)
        try withScratchDirectory { folder in
            try exportHuggingFace(weights, configuration, to: folder)
            let (old, new) = (try checkpoint.model(), try Checkpoint(folder).model())
            let tables = [
                (old.inputEmbedding, new.inputEmbedding), (old.outputHead, new.outputHead),
            ]
            for (before, after) in tables {
                #expect(after.value.rows == configuration.vocabularySize)
                for column in 0..<before.value.columns {
                    let values = (0..<(rows - 2)).map { before.value[$0, column] }
                    #expect(values == (0..<(rows - 2)).map { after.value[$0, column] })
                    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
                    for row in (rows - 2)..<after.value.rows {
                        #expect(abs(Double(after.value[row, column]) - mean) < 1e-6)
                    }
                }
            }
            #expect((new.outputHead === new.inputEmbedding) == configuration.tiesEmbeddings)
        }
        #expect(throws: ModelError.self) {
            try checkpoint.resized(tokens: rows + 1, to: rows + 2, multipleOf: 1)
        }
    }
}

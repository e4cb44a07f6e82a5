import Foundation
import Tensors
import Testing

@testable import Models

@Suite("Models cut from others")
struct ModelCutTests {
    private static let batch = VarlenBatch([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5]])

    private func logits(_ model: TransformerModel) -> Matrix {
        model.logits(model.hiddenStates(Self.batch, tape: nil))
    }

    private func cut(_ model: TransformerModel, in folder: URL, to cut: ModelCut) throws
        -> TransformerModel
    {
        try exportHuggingFace(model, to: folder)
        return try .pruned(Checkpoint(folder), to: cut, sample: [[1, 2, 3, 4, 5], [7, 8, 9]])
    }

    private func parameter(_ model: TransformerModel, _ suffix: String) throws -> Parameter {
        try #require(model.parameters.first { $0.name.hasSuffix(suffix) })
    }

    @Test(
        "channels that do nothing are the ones that go, so that logits stay",
        arguments: [
            ("llama", "model.layers", "mlp.up_proj", false),
            ("qwen3", "model.layers", "mlp.up_proj", false),
            ("gemma3", "model.layers", "mlp.up_proj", false),
            ("phi3", "model.layers", "mlp.gate_up_proj", false),
            ("gpt2", "transformer.h", "mlp.c_fc", true),
        ]
    )
    func feedForward(name: String, prefix: String, module: String, isTransposed: Bool) throws {
        let model = try Checkpoint(ParityFixture(name).directory).model()
        let c = model.configuration
        for layer in 0..<c.layerCount {
            let weight = try parameter(model, "\(prefix).\(layer).\(module).weight").value
            // Every third channel's, of the fused gate and up the latter's.
            for channel in 0..<c.intermediateSize where channel % 3 == layer % 3 {
                let place = module.contains("gate_up") ? channel + c.intermediateSize : channel
                for input in 0..<c.hiddenSize {
                    if isTransposed {
                        weight[input, place] = 0
                    } else {
                        weight[place, input] = 0
                    }
                }
                if isTransposed {
                    try parameter(model, "\(prefix).\(layer).\(module).bias").value[0, place] = 0
                }
            }
        }
        try withScratchDirectory { folder in
            var wanted = ModelCut(layers: Array(0..<c.layerCount))
            wanted.intermediateSize = c.intermediateSize - c.intermediateSize / 3
            let small = try cut(model, in: folder, to: wanted)
            #expect(small.configuration.intermediateSize == wanted.intermediateSize)
            #expect(largestDifference(logits(small), logits(model)) < 1e-4)
        }
    }

    @Test(
        "heads that do nothing go with their group",
        arguments: ["llama", "qwen3", "mistral", "gemma2"]
    )
    func heads(name: String) throws {
        let model = try Checkpoint(ParityFixture(name).directory).model()
        let c = model.configuration
        for layer in 0..<c.layerCount {
            let weight = try parameter(model, "layers.\(layer).self_attn.v_proj.weight").value
            let bias = model.parameters.first {
                $0.name.hasSuffix("layers.\(layer).self_attn.v_proj.bias")
            }
            let silent = layer % 2
            for row in (silent * c.headSize)..<((silent + 1) * c.headSize) {
                for column in 0..<weight.columns { weight[row, column] = 0 }
                bias?.value[0, row] = 0
            }
        }
        try withScratchDirectory { folder in
            var wanted = ModelCut(layers: Array(0..<c.layerCount))
            wanted.keyValueHeadCount = 1
            let small = try cut(model, in: folder, to: wanted)
            #expect(small.configuration.headCount == c.headCount / 2)
            #expect(small.configuration.headSize == c.headSize)
            #expect(largestDifference(logits(small), logits(model)) < 1e-4)
            // The same by heads, and with fewer heads to the group that stays.
            wanted = ModelCut(layers: [1])
            wanted.headCount = c.headCount / 2
            #expect(try cut(model, in: folder, to: wanted).configuration.keyValueHeadCount == 1)
            wanted.headCount = 1
            wanted.keyValueHeadCount = 1
            #expect(try cut(model, in: folder, to: wanted).configuration.headCount == 1)
        }
    }

    @Test(
        "channels of the stream that are always 0 go, and norms see the rest",
        arguments: [
            "llama", "qwen3",
        ]
    )
    func hidden(name: String) throws {
        let model = try Checkpoint(ParityFixture(name).directory).model()
        let c = model.configuration
        let dropped = (0..<c.hiddenSize).filter { $0 % 4 == 1 }
        for parameter in model.parameters where parameter.name.hasSuffix("o_proj.bias") {
            for channel in dropped { parameter.value[0, channel] = 0 }
        }
        for parameter in model.parameters where parameter.shape.count == 2 {
            let value = parameter.value
            let writesRows =
                ["o_proj.weight", "down_proj.weight"].contains(where: parameter.name.hasSuffix)
            let isTable = parameter === model.inputEmbedding
            guard writesRows || isTable else { continue }
            for channel in dropped {
                for other in 0..<(isTable ? value.rows : value.columns) {
                    if isTable { value[other, channel] = 0 } else { value[channel, other] = 0 }
                }
            }
        }
        try withScratchDirectory { folder in
            var wanted = ModelCut(layers: Array(0..<c.layerCount))
            wanted.hiddenSize = c.hiddenSize - dropped.count
            let small = try cut(model, in: folder, to: wanted)
            // A norm divides by the mean over fewer channels, so its weights make up for that.
            let ratio = Float(c.hiddenSize) / Float(wanted.hiddenSize ?? 1)
            for parameter in small.parameters where parameter.name.hasSuffix("norm.weight") {
                guard parameter.shape == [wanted.hiddenSize ?? 0] else { continue }
                for index in 0..<parameter.value.count {
                    parameter.value.base[index] *= ratio.squareRoot()
                }
            }
            let difference = largestDifference(logits(small), logits(model))
            let scale = logits(model).values.map(abs).max() ?? 0
            // The norms' epsilon is not scaled.
            #expect(difference < 1e-3 * scale, "\(difference) of \(scale)")
        }
    }

    @Test("every family's weights fit after each kind of cut", arguments: ParityTests.names)
    func everyFamily(name: String) throws {
        let checkpoint = try Checkpoint(ParityFixture(name).directory)
        let c = checkpoint.configuration
        var wanted = ModelCut(layers: [c.layerCount - 1, 0])
        wanted.intermediateSize = c.intermediateSize / 2
        let ownSize = !["gpt2", "gpt_neox", "phi3"].contains(c.modelType)
        wanted.hiddenSize = ownSize ? c.hiddenSize / 2 : nil
        let small = try TransformerModel.pruned(checkpoint, to: wanted, sample: [[1, 2, 3]])
        #expect(logits(small).values.allSatisfy { $0.isFinite })
        try withScratchDirectory { folder in
            try exportHuggingFace(small, to: folder)
            let again = try Checkpoint(folder).model()
            #expect(again.configuration.intermediateSize == c.intermediateSize / 2)
            #expect(logits(again).values == logits(small).values)
        }
    }

    @Test("layers are spaced evenly, the first and the last among them")
    func even() {
        #expect(ModelCut.evenLayers(1, of: 9) == [0])
        #expect(ModelCut.evenLayers(2, of: 9) == [0, 8])
        #expect(ModelCut.evenLayers(5, of: 9) == [0, 2, 4, 6, 8])
        #expect(ModelCut.evenLayers(9, of: 9) == Array(0..<9))
        for (count, all) in [(3, 30), (7, 30), (29, 30), (4, 5)] {
            let layers = ModelCut.evenLayers(count, of: all)
            #expect(layers.first == 0 && layers.last == all - 1 && Set(layers).count == count)
            #expect(layers == layers.sorted())
        }
    }

    @Test("cuts that make no model are refused")
    func refusals() throws {
        func message(_ name: String, _ change: (inout ModelCut) -> Void) throws -> String {
            let checkpoint = try Checkpoint(ParityFixture(name).directory)
            var cut = ModelCut(layers: [0])
            change(&cut)
            let error = #expect(throws: ModelError.self) {
                _ = try TransformerModel.pruned(checkpoint, to: cut, sample: [[1]])
            }
            return error?.description ?? ""
        }
        #expect(try message("llama") { $0.layers = [0, 7] }.contains("layers [0, 7]"))
        #expect(try message("llama") { $0.headCount = 3 }.contains("whole groups of 2"))
        #expect(try message("llama") { $0.keyValueHeadCount = 3 }.contains("cut from 4"))
        #expect(try message("llama") { $0.hiddenSize = 0 }.contains("hidden size of 0"))
        #expect(try message("llama") { $0.intermediateSize = 49 }.contains("cut from 48"))
        #expect(try message("gpt2") { $0.hiddenSize = 8 }.contains("Cut both"))
        let checkpoint = try Checkpoint(ParityFixture("llama").directory)
        var cut = ModelCut(layers: [0])
        cut.hiddenSize = 8
        let error = #expect(throws: ModelError.self) {
            _ = try TransformerModel.pruned(checkpoint, to: cut, sample: [[], [1_000]])
        }
        #expect(error?.message.contains("sample") == true)
    }
}

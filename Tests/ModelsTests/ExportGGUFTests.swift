import Foundation
import Tensors
import Testing

@testable import Models

@Suite("GGUF export")
struct ExportGGUFTests {
    private func fixture(_ name: String) throws -> URL {
        try #require(Bundle.module.resourceURL).appendingPathComponent("Fixtures/\(name)")
    }

    private func export(_ checkpoint: Checkpoint, _ type: WeightType, to url: URL) throws
        -> Checkpoint
    {
        try exportGGUF(
            checkpoint,
            tokenizer: [("tokenizer.ggml.model", .string("gpt2"))],
            name: "tiny",
            type: type,
            to: url
        )
        return try Checkpoint(url)
    }

    @Test(
        "a model read back has the same weights, and logits within what the type rounds off",
        arguments: [
            "parity/gpt2", "parity/llama", "parity/llama3", "parity/mistral", "gguf/qwen2.gguf",
            "gguf/qwen3.gguf",
        ]
    )
    func roundTrip(name: String) throws {
        let source = try Checkpoint(fixture(name))
        let batch = VarlenBatch([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5]])
        func logits(_ checkpoint: Checkpoint) throws -> Matrix {
            let model = try checkpoint.model()
            return model.logits(model.hiddenStates(batch, tape: nil))
        }
        let expected = try logits(source)
        let scale = expected.values.map(abs).max() ?? 0
        try withScratchDirectory { folder in
            let url = folder.appendingPathComponent("m.gguf")
            let exact = try export(source, .f32, to: url)
            let (before, after) = (source.configuration, exact.configuration)
            #expect(after.hiddenSize == before.hiddenSize && after.headSize == before.headSize)
            #expect(after.ropeTheta == before.ropeTheta && after.normEpsilon == before.normEpsilon)
            #expect(after.slidingWindow == before.slidingWindow)
            let pairs = zip(try source.model().parameters, try exact.model().parameters)
            for (old, new) in pairs {
                #expect(old.name == new.name && old.value.values == new.value.values)
            }
            #expect(largestDifference(try logits(exact), expected) <= 1e-5 * scale)
            let halves = try logits(export(source, .f16, to: url))
            #expect(largestDifference(halves, expected) < 5e-3 * scale)
            #expect(largestDifference(halves, expected) > 0)
            let bytes = try logits(export(source, .q8_0, to: url))
            #expect(largestDifference(bytes, expected) < 5e-2 * scale)
        }
    }

    @Test("biases are arranged as their weights are")
    func biases() throws {
        var configuration = try Checkpoint(fixture("parity/llama")).configuration
        configuration.attentionBias = true
        configuration.feedForwardBias = true
        let model = try TransformerModel.random(configuration, seed: 3)
        for parameter in model.parameters where parameter.name.hasSuffix("bias") {
            for index in 0..<parameter.value.count { parameter.value.base[index] = Float(index) }
        }
        try withScratchDirectory { folder in
            try exportHuggingFace(model, to: folder)
            let url = folder.appendingPathComponent("m.gguf")
            let again = try export(Checkpoint(folder), .f32, to: url)
            for (old, new) in zip(model.parameters, try again.model().parameters) {
                #expect(old.name == new.name && old.value.values == new.value.values)
            }
        }
    }

    @Test("blocks of Q8_0 are scaled by their largest value and rounded to nearest")
    func blocks() throws {
        var values = (0..<256).map { index in
            let base = Float((37 * index) % 101 - 50) / 8
            return base * Float(1 + index / 32)
        }
        values += [Float](repeating: 0, count: 32)
        try withScratchDirectory { folder in
            let url = folder.appendingPathComponent("q.gguf")
            let tensor = GGUFTensor(name: "w", shape: [3, 96], type: .q8_0) { body in
                try values.withUnsafeBufferPointer(body)
            }
            try GGUFWriter.write([("a", .u32(1))], [tensor], to: url)
            let file = try GGUFFile(path: url.path)
            #expect(file.info("w")?.type == .q8_0)
            let found = try file.floats("w", expecting: [3, 96])
            for first in stride(from: 0, to: values.count, by: 32) {
                let block = values[first..<(first + 32)]
                let step = (block.map(abs).max() ?? 0) / 127
                let half = Float(Float16(step))
                for index in block.indices {
                    let quotient = step == 0 ? 0 : (values[index] / step).rounded()
                    #expect(found[index] == quotient * half)
                }
            }
        }
    }

    @Test("metadata of every kind is read back")
    func metadata() throws {
        try withScratchDirectory { folder in
            let url = folder.appendingPathComponent("m.gguf")
            try GGUFWriter.write(
                [
                    ("u", .u32(4_000_000_000)), ("f", .f32(0.1)), ("b", .bool(true)),
                    ("s", .string("Grüße\n")), ("ss", .strings(["", "Ġa"])),
                    ("fs", .f32s([0.5, -1])), ("is", .i32s([-7, 3])),
                ],
                [],
                to: url
            )
            let file = try GGUFFile(path: url.path)
            #expect(file.version == 3 && file.metadata.count == 7)
            #expect(try file.int("u") == 4_000_000_000 && file.bool("b"))
            #expect(try file.float("f") == Double(Float(0.1)) && file.string("s") == "Grüße\n")
            #expect(try file.strings("ss") == ["", "Ġa"] && file.ints("is") == [-7, 3])
            #expect(try file.floats("fs") == [0.5, -1])
        }
    }

    @Test(
        "what llama.cpp does not compute is refused in words",
        arguments: [
            ("olmo2", "GGUF files of olmo2 are not written"), ("phi3", "phi3"),
            ("qwen2", "a sliding window in some layers"),
            ("qwen3", "biases"), ("llama_bias", "gelu"),
        ]
    )
    func refusals(name: String, words: String) throws {
        try withScratchDirectory { folder in
            let url = folder.appendingPathComponent("m.gguf")
            let source = try Checkpoint(fixture("parity/\(name)"))
            let error = #expect(throws: ModelError.self) { try export(source, .f16, to: url) }
            #expect(error?.kind == .unsupported && error?.message.contains(words) == true)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left.isEmpty)
        }
    }

    @Test(
        "numbers that a type cannot hold are refused by their tensor",
        arguments: [
            (Float(70_000), WeightType.f16), (.infinity, .q8_0), (.nan, .f16),
        ]
    )
    func overflow(value: Float, type: WeightType) throws {
        try withScratchDirectory { folder in
            let values = [value] + [Float](repeating: 1, count: 31)
            let tensor = GGUFTensor(name: "blk.0.w", shape: [1, 32], type: type) { body in
                try values.withUnsafeBufferPointer(body)
            }
            let error = #expect(throws: ModelError.self) {
                try GGUFWriter.write([], [tensor], to: folder.appendingPathComponent("m.gguf"))
            }
            #expect(error?.message.contains("blk.0.w holds") == true)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left.isEmpty)
        }
    }

    @Test("a disk that fills up is said so, and leaves nothing", arguments: [1, 2, 5, 20])
    func fullDisk(writes: Int) throws {
        try withScratchDirectory { folder in
            let source = try Checkpoint(fixture("parity/llama"))
            var writesLeft = writes
            let error = #expect(throws: ModelError.self) {
                try exportGGUF(
                    source,
                    tokenizer: [],
                    name: "tiny",
                    type: .f16,
                    to: folder.appendingPathComponent("m.gguf"),
                    using: { descriptor, bytes, count in
                        writesLeft -= 1
                        guard writesLeft > 0 else {
                            errno = ENOSPC
                            return -1
                        }
                        return AtomicFile.systemWrite(descriptor, bytes, count)
                    }
                )
            }
            #expect(error?.kind == .io && error?.remedy.contains("space") == true)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left.isEmpty)
        }
    }
}

import Foundation
import Testing

@testable import Models

/// Sound GGUF files whose metadata ask for models that do not exist, or are not computed.
@Suite("Hostile GGUF metadata")
struct WeightsHostileMetadataTests {
    /// Metadata as (type, bytes of the value) by key, and one tensor.
    private struct Model {
        var values: [String: (type: UInt32, bytes: [UInt8])] = [:]
        /// Rows and columns by name; F32 zeros.
        var tensors: [String: [UInt64]] = ["token_embd.weight": [8, 4]]

        init() {
            self["general.architecture"] = (8, WeightsHostileMetadataTests.text("llama"))
            for (key, value) in [
                ("embedding_length", 8), ("block_count", 1), ("attention.head_count", 2),
                ("feed_forward_length", 8), ("context_length", 16),
            ] {
                self["llama.\(key)"] = (4, bytes(UInt32(value)))
            }
            self["llama.attention.layer_norm_rms_epsilon"] = WeightsHostileMetadataTests.float(1e-5)
        }

        subscript(_ key: String) -> (UInt32, [UInt8])? {
            get { values[key] }
            set { values[key] = newValue.map { (type: $0.0, bytes: $0.1) } }
        }

        func build() -> Data {
            var head = Array("GGUF".utf8) + bytes(UInt32(3)) + bytes(UInt64(tensors.count))
            head += bytes(UInt64(values.count))
            for (key, value) in values {
                head += WeightsHostileMetadataTests.text(key) + bytes(value.type) + value.bytes
            }
            var offset: UInt64 = 0
            for (name, dimensions) in tensors {
                head += WeightsHostileMetadataTests.text(name) + bytes(UInt32(dimensions.count))
                head += dimensions.flatMap { bytes($0) } + bytes(UInt32(0)) + bytes(offset)
                offset += (dimensions.reduce(4, *) + 31) / 32 * 32
            }
            head += [UInt8](repeating: 0, count: (32 - head.count % 32) % 32)
            return Data(head + [UInt8](repeating: 0, count: Int(offset)))
        }
    }

    /// A change to a sound model, and what its refusal must say.
    private struct Sample {
        let says: String
        let kind: ModelError.Kind
        let change: (inout Model) -> Void

        init(
            _ says: String,
            _ kind: ModelError.Kind,
            _ change: @escaping (inout Model) -> Void
        ) {
            self.says = says
            self.kind = kind
            self.change = change
        }
    }

    private static func text(_ string: String) -> [UInt8] {
        bytes(UInt64(string.utf8.count)) + Array(string.utf8)
    }

    private static func float(_ value: Float) -> (UInt32, [UInt8]) {
        (6, bytes(value.bitPattern))
    }

    private static func int(_ value: Int32) -> (UInt32, [UInt8]) { (5, bytes(value)) }

    private static func ints(_ values: [Int32]) -> (UInt32, [UInt8]) {
        (9, bytes(UInt32(5)) + bytes(UInt64(values.count)) + values.flatMap { bytes($0) })
    }

    private func configuration(_ change: (inout Model) -> Void) throws -> ModelConfiguration {
        var model = Model()
        change(&model)
        return try withScratchDirectory { folder in
            let path = folder.appendingPathComponent("m.gguf")
            try model.build().write(to: path)
            return try Checkpoint(path).configuration
        }
    }

    @Test("the model that the other tests change is sound")
    func sound() throws {
        let plain = try configuration { _ in }
        #expect(plain.headSize == 4 && plain.keyValueHeadCount == 2 && plain.vocabularySize == 4)
        // One number for each layer, all the same.
        let array = try configuration { $0["llama.attention.head_count_kv"] = Self.ints([1, 1]) }
        #expect(array.keyValueHeadCount == 1)
        let windowed = try configuration { $0["llama.attention.sliding_window"] = Self.int(5) }
        #expect(windowed.modelType == "mistral" && windowed.window(ofLayer: 0) == 5)
        let linear = try configuration {
            $0["llama.rope.scaling.type"] = (8, Self.text("linear"))
            $0["llama.rope.scaling.factor"] = Self.float(4)
        }
        #expect(linear.ropeScaling == .linear(factor: 4))
        let yarn = try configuration {
            $0["llama.rope.scaling.type"] = (8, Self.text("yarn"))
            $0["llama.rope.scaling.factor"] = Self.float(4)
            $0["llama.rope.scaling.original_context_length"] = Self.int(8)
        }
        #expect(yarn.ropeScaling == .yarn(.init(factor: 4, originalMaxPositions: 8)))
    }

    @Test("what no model has, or is not computed, is refused")
    func refused() throws {
        let samples: [Sample] = [
            .init("unknown architecture \"bert\"", .unsupported) {
                $0["general.architecture"] = (8, Self.text("bert"))
            },
            .init("qwen2.embedding_length", .missing) {
                $0["general.architecture"] = (8, Self.text("qwen2"))
            },
            .init("no heads", .corrupt) { $0["llama.attention.head_count"] = Self.int(0) },
            .init("no heads", .corrupt) { $0["llama.attention.head_count"] = Self.int(.min) },
            .init("no token_embd.weight", .corrupt) { $0.tensors = ["a": [8, 4]] },
            .init("no token_embd.weight", .corrupt) { $0.tensors = ["token_embd.weight": [32]] },
            .init("layers of 2147483647", .corrupt) { $0["llama.block_count"] = Self.int(.max) },
            .init("hidden size of -8", .corrupt) { $0["llama.embedding_length"] = Self.int(-8) },
            .init("another attention.head_count_kv", .unsupported) {
                $0["llama.attention.head_count_kv"] = Self.ints([1, 2])
            },
            .init("another attention.head_count_kv", .unsupported) {
                $0["llama.attention.head_count_kv"] = Self.ints([])
            },
            .init("expected an integer", .mismatch) {
                $0["llama.attention.head_count_kv"] = Self.float(2)
            },
            .init("8 experts", .unsupported) { $0["llama.expert_count"] = Self.int(8) },
            .init("values of 2 channels", .unsupported) {
                $0["llama.attention.value_length"] = Self.int(2)
            },
            .init("6 rotary channels", .corrupt) { $0["llama.rope.dimension_count"] = Self.int(6) },
            .init("3 rotary channels", .corrupt) { $0["llama.rope.dimension_count"] = Self.int(3) },
            .init("-2 rotary channels", .corrupt) {
                $0["llama.rope.dimension_count"] = Self.int(-2)
            },
            .init("rotary base of nan", .corrupt) { $0["llama.rope.freq_base"] = Self.float(.nan) },
            .init("rotary base of -1", .corrupt) { $0["llama.rope.freq_base"] = Self.float(-1) },
            .init("norm epsilon of inf", .corrupt) {
                $0["llama.attention.layer_norm_rms_epsilon"] = Self.float(.infinity)
            },
            .init("layer_norm_epsilon", .missing) {
                $0["llama.attention.layer_norm_rms_epsilon"] = nil
            },
            .init("scaling \"dynamic\"", .unsupported) {
                $0["llama.rope.scaling.type"] = (8, Self.text("dynamic"))
            },
            .init("rope.scaling.factor", .missing) {
                $0["llama.rope.scaling.type"] = (8, Self.text("linear"))
            },
            .init("factor of 0", .corrupt) {
                $0["llama.rope.scaling.type"] = (8, Self.text("linear"))
                $0["llama.rope.scaling.factor"] = Self.float(0)
            },
            .init("expected shape [2], found [3]", .mismatch) {
                $0.tensors["rope_freqs.weight"] = [3]
            },
            .init("expected shape [2], found [2, 2]", .mismatch) {
                $0.tensors["rope_freqs.weight"] = [2, 2]
            },
            .init("short_factor of 0", .corrupt) { $0.tensors["rope_freqs.weight"] = [2] },
        ]
        for sample in samples {
            let error = #expect(throws: ModelError.self, "\(sample.says)") {
                try configuration(sample.change)
            }
            #expect(error?.kind == sample.kind, "\(sample.says): \(String(describing: error))")
            #expect(error?.message.contains(sample.says) == true, "\(String(describing: error))")
        }
    }

    @Test("a weight of another shape than the metadata say is refused before it is read")
    func shapes() throws {
        for shape: [UInt64] in [[8, 7], [7, 8], [8, 8, 1], [64], []] {
            try withScratchDirectory { folder in
                let path = folder.appendingPathComponent("m.gguf")
                var model = Model()
                model.tensors["blk.0.attn_q.weight"] = shape
                try model.build().write(to: path)
                let error = #expect(throws: ModelError.self) {
                    try Checkpoint(path).parameter(
                        "model.layers.0.self_attn.q_proj.weight",
                        [8, 8]
                    )
                }
                #expect(error?.kind == .mismatch)
            }
        }
    }
}

import Foundation
import Tensors
import Testing

@testable import Models

/// Adapters that PEFT wrote, and what it merges from them (reference/lora_goldens.py).
@Suite("LoRA adapters")
struct WeightsAdapterTests {
    static let adapters = [
        ("plain", "llama"), ("rslora", "llama"), ("patterns", "llama3"), ("whole", "llama3"),
        ("embedding", "llama3"), ("gpt2", "gpt2"),
    ]

    private func folder(_ name: String) throws -> URL {
        try #require(Bundle.module.url(forResource: "Fixtures/lora/\(name)", withExtension: nil))
    }

    @Test("weights are those that PEFT merges; the others stay as they are", arguments: adapters)
    func merged(name: String, base: String) throws {
        let directory = try ParityFixture(base).directory
        let plain = try Checkpoint(directory).model()
        let checkpoint = try Checkpoint(directory, adapter: folder(name))
        let golden = try SafetensorsFile(
            path: folder(name).appendingPathComponent("merged.safetensors").path
        )
        let parameters = try checkpoint.model().parameters
        #expect(Set(golden.tensorNames).isSubset(of: Set(parameters.map(\.name))))
        for (parameter, before) in zip(parameters, plain.parameters) {
            #expect(parameter.name == before.name)
            guard golden.info(parameter.name) != nil else {
                #expect(parameter.value.values == before.value.values, "\(parameter.name)")
                continue
            }
            let expected = try golden.floats(parameter.name, expecting: parameter.shape)
            let matrix = Matrix(
                expected,
                rows: parameter.value.rows,
                columns: parameter.value.columns
            )
            #expect(largestDifference(parameter.value, matrix) < 1e-6, "\(parameter.name)")
            #expect(largestDifference(parameter.value, before.value) > 0.05)
            guard parameter.shape.count == 2 else { continue }
            let middle = parameter.shape[0] / 2
            let rows = Matrix(uninitialized: 3, parameter.shape[1])
            try checkpoint.parameterRows(
                parameter.name,
                parameter.shape,
                rows: middle..<(middle + 3),
                into: rows.base
            )
            #expect(
                largestDifference(rows, matrix.slice(rows: middle..<(middle + 3)).copied()) < 1e-6
            )
        }
    }

    @Test("GPT-2's modules are the same without the prefix that published files lack")
    func unprefixed() throws {
        let base = try ParityFixture("gpt2").directory
        let expected = try Checkpoint(base, adapter: folder("gpt2")).model().parameters
        try withAdapter("gpt2") { adapter in
            let bare = adapter.deletingLastPathComponent().appendingPathComponent("base")
            try FileManager.default.copyItem(at: base, to: bare)
            try dropPrefix(bare.appendingPathComponent("model.safetensors"))
            try dropPrefix(adapter.appendingPathComponent("adapter_model.safetensors"))
            let parameters = try Checkpoint(bare, adapter: adapter).model().parameters
            for (parameter, wanted) in zip(parameters, expected) {
                #expect(parameter.value.values == wanted.value.values, "\(parameter.name)")
            }
        }
    }

    @Test("an adapter counts among the files, not among the model's")
    func files() throws {
        let checkpoint = try Checkpoint(ParityFixture("llama").directory, adapter: folder("plain"))
        #expect(
            checkpoint.modelFiles.map(\.lastPathComponent) == ["config.json", "model.safetensors"]
        )
        #expect(
            checkpoint.adapterFiles.map(\.lastPathComponent)
                == ["adapter_config.json", "adapter_model.safetensors"]
        )
        #expect(checkpoint.files == checkpoint.modelFiles + checkpoint.adapterFiles)
    }

    @Test("a tied model gets a head of its own when the adapter brings one")
    func untied() throws {
        try withAdapter("plain") { adapter in
            let head = fixturePattern(97 * 32)
            try head.withUnsafeBufferPointer {
                try SafetensorsWriter.write(
                    [(name: "base_model.model.lm_head.weight", shape: [97, 32], values: $0)],
                    type: .f32,
                    to: adapter.appendingPathComponent("adapter_model.safetensors")
                )
            }
            let checkpoint = try Checkpoint(ParityFixture("llama").directory, adapter: adapter)
            #expect(!checkpoint.configuration.tiesEmbeddings)
            let model = try checkpoint.model()
            #expect(model.outputHead.value.values == head)
            #expect(model.inputEmbedding.value.values != head)
        }
        let error = #expect(throws: ModelError.self) {
            try Checkpoint(ParityFixture("llama").directory, adapter: folder("embedding"))
        }
        #expect(error?.kind == .unsupported)
        #expect(error?.message.contains("one weight") == true)
    }

    @Test("an adapter alone opens with a base model inside it, and no other")
    func alone() throws {
        try withAdapter("plain") { adapter in
            let inner = adapter.appendingPathComponent("tiny/llama")
            let absent = #expect(throws: ModelError.self) { try Checkpoint(adapter) }
            #expect(absent?.description.contains("adapter=DIR") == true)
            try FileManager.default.createDirectory(
                at: inner.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try FileManager.default.copyItem(at: ParityFixture("llama").directory, to: inner)
            let checkpoint = try Checkpoint(adapter)
            #expect(checkpoint.configuration.hiddenSize == 32)
            #expect(checkpoint.adapterFiles.count == 2)
            let twice = #expect(throws: ModelError.self) {
                try Checkpoint(adapter, adapter: folder("rslora"))
            }
            #expect(twice?.message.contains("an adapter itself") == true)
            for elsewhere in [
                inner.path, "../\(adapter.lastPathComponent)/tiny/llama", "tiny//llama",
            ] {
                try edit(adapter) { $0["base_model_name_or_path"] = elsewhere }
                let error = #expect(throws: ModelError.self) { try Checkpoint(adapter) }
                #expect(error?.kind == .missing && error?.message.contains(elsewhere) == true)
            }
        }
    }

    @Test("kinds of adapters that are not computed are refused by the key")
    func unsupported() throws {
        let changes: [(key: String, value: Any)] = [
            ("peft_type", "IA3"), ("bias", "all"), ("bias", "lora_only"), ("use_dora", true),
            ("lora_bias", true), ("init_lora_weights", "pissa_niter_4"),
            ("layer_replication", [[0, 1]]), ("target_parameters", ["a"]),
            ("trainable_token_indices", [1]),
        ]
        for (key, value) in changes {
            let error = try refusal { $0[key] = value }
            #expect(error?.kind == .unsupported && error?.message.contains("\"\(key)\"") == true)
            #expect(error?.remedy.contains("merge_and_unload") == true)
        }
        let unknown = try refusal { $0["peft_type"] = nil }
        #expect(unknown?.message.contains("peft_type") == true)
    }

    @Test("settings that do not make sense, or do not go with the weights, are refused")
    func inconsistent() throws {
        let changes: [(key: String, value: Any, says: String)] = [
            ("r", 5, "rank 4, expected 5"), ("r", -1, "non-negative"), ("r", "4", "non-negative"),
            ("lora_alpha", "x", "expected a number"), ("use_rslora", 1, "expected true or false"),
            ("rank_pattern", ["q_proj": 3], "rank 4, expected 3"),
            ("alpha_pattern", ["(a+)+$": 3], "is a pattern"),
            ("alpha_pattern", ["q_proj": [1]], "expected a number"),
            ("target_modules", ["q_proj"], "is not among the target modules"),
            ("target_modules", [1], "expected a string"),
        ]
        for (key, value, says) in changes {
            let error = try refusal { $0[key] = value }
            #expect(error?.message.contains(says) == true, "\(key): \(String(describing: error))")
        }
        let other = #expect(throws: ModelError.self) {
            try Checkpoint(ParityFixture("gpt2").directory, adapter: folder("plain"))
        }
        #expect(other?.kind == .mismatch && other?.message.contains("has no such weight") == true)
        let shapes = #expect(throws: ModelError.self) {
            try Checkpoint(ParityFixture("llama3").directory, adapter: folder("plain"))
        }
        #expect(shapes?.message.contains("is changed in shape") == true)
    }

    @Test("tensors that are no part of an adapter, halves and odd shapes are refused")
    func tensors() throws {
        let prefix = "base_model.model.model.layers.0.self_attn.q_proj"
        let samples: [(tensors: [(String, [Int])], says: String)] = [
            ([("\(prefix).lora_A.weight", [4, 32])], "needs lora_A and lora_B"),
            (
                [("\(prefix).lora_A.weight", [4, 32]), ("\(prefix).lora_B.weight", [32, 3])],
                "do not go together"
            ),
            (
                [("\(prefix).lora_A.weight", [128]), ("\(prefix).lora_B.weight", [32, 4])],
                "do not go together"
            ),
            (
                [("\(prefix).lora_A.weight", [0, 32]), ("\(prefix).lora_B.weight", [32, 0])],
                "do not go together"
            ),
            (
                [("\(prefix).lora_A.weight", [4, 16]), ("\(prefix).lora_B.weight", [32, 4])],
                "is changed in shape [32, 16]"
            ),
            (
                [
                    ("\(prefix).lora_A.weight", [4, 32]),
                    ("\(prefix).lora_A.default.weight", [4, 32]),
                ], "no part of a LoRA adapter"
            ),
            ([("\(prefix).lora_magnitude_vector", [32])], "no part of a LoRA adapter"),
            ([("q_proj.lora_A.weight", [4, 32])], "no part of a LoRA adapter"),
            ([("base_model.model.model.other.weight", [4])], "has no such weight"),
        ]
        for (tensors, says) in samples {
            try withAdapter("plain") { adapter in
                let values = fixturePattern(4_096)
                try values.withUnsafeBufferPointer { values in
                    try SafetensorsWriter.write(
                        tensors.map { name, shape in
                            let count = shape.reduce(1, *)
                            return (
                                name: name, shape: shape,
                                values: UnsafeBufferPointer(rebasing: values[..<count])
                            )
                        },
                        type: .f32,
                        to: adapter.appendingPathComponent("adapter_model.safetensors")
                    )
                }
                let error = #expect(throws: ModelError.self, "\(says)") {
                    try Checkpoint(ParityFixture("llama").directory, adapter: adapter)
                }
                #expect(error?.message.contains(says) == true, "\(String(describing: error))")
            }
        }
    }

    @Test("a whole weight of another shape is refused when it is read")
    func wholeShape() throws {
        try withAdapter("whole") { adapter in
            try fixturePattern(8).withUnsafeBufferPointer {
                try SafetensorsWriter.write(
                    [(name: "base_model.model.model.norm.weight", shape: [8], values: $0)],
                    type: .f32,
                    to: adapter.appendingPathComponent("adapter_model.safetensors")
                )
            }
            let checkpoint = try Checkpoint(ParityFixture("llama3").directory, adapter: adapter)
            let error = #expect(throws: ModelError.self) { try checkpoint.model() }
            #expect(
                error?.kind == .mismatch
                    && error?.path.hasSuffix("adapter_model.safetensors") == true
            )
        }
    }

    @Test("pickled weights are refused with the command that converts them")
    func pickled() throws {
        try withAdapter("plain") { adapter in
            let weights = adapter.appendingPathComponent("adapter_model.safetensors")
            try FileManager.default.moveItem(
                at: weights,
                to: adapter.appendingPathComponent("adapter_model.bin")
            )
            let error = #expect(throws: ModelError.self) {
                try Checkpoint(ParityFixture("llama").directory, adapter: adapter)
            }
            #expect(error?.kind == .unsupported)
            #expect(error?.remedy.contains("python3 -c") == true)
            #expect(error?.remedy.contains("'\(adapter.path)/adapter_model.bin'") == true)
        }
    }

    // MARK: Changed copies of an adapter

    private func withAdapter(_ name: String, _ body: (URL) throws -> Void) throws {
        try withScratchDirectory { scratch in
            let copy = scratch.appendingPathComponent("adapter")
            try FileManager.default.copyItem(at: folder(name), to: copy)
            try body(copy)
        }
    }

    /// Writes a file of weights again, its names without "transformer.".
    private func dropPrefix(_ url: URL) throws {
        let file = try SafetensorsFile(path: url.path)
        let tensors = try file.tensorNames.map { name in
            let shape = try file.requiredInfo(name).shape
            let values = Matrix(
                try file.floats(name, expecting: shape),
                rows: 1,
                columns: shape.reduce(1, *)
            )
            let bare = name.replacingOccurrences(of: "transformer.", with: "")
            return (name: bare, shape: shape, values: values)
        }
        let entries = tensors.map {
            (
                name: $0.name, shape: $0.shape,
                values: UnsafeBufferPointer(start: $0.values.base, count: $0.values.count)
            )
        }
        try withExtendedLifetime(tensors) {
            try SafetensorsWriter.write(entries, type: .f32, to: url)
        }
    }

    private func edit(_ adapter: URL, _ change: (inout [String: Any]) -> Void) throws {
        let url = adapter.appendingPathComponent("adapter_config.json")
        let parsed = try JSONSerialization.jsonObject(with: Data(contentsOf: url))
        var object = try #require(parsed as? [String: Any])
        change(&object)
        try replace(url, with: JSONSerialization.data(withJSONObject: object))
    }

    /// What opening the adapter "plain" says after a change to its settings.
    private func refusal(_ change: (inout [String: Any]) -> Void) throws -> ModelError? {
        var error: ModelError?
        try withAdapter("plain") { adapter in
            try edit(adapter, change)
            error = #expect(throws: ModelError.self) {
                try Checkpoint(ParityFixture("llama").directory, adapter: adapter)
            }
        }
        return error
    }
}

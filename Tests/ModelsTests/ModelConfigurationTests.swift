import Foundation
import Models
import Tensors
import Testing

/// Reads a config.json of these keys.
private func configuration(_ keys: [String: Any]) throws -> ModelConfiguration {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(
        "config-\(UUID().uuidString).json"
    )
    try JSONSerialization.data(withJSONObject: keys).write(to: url)
    defer { try? FileManager.default.removeItem(at: url) }
    return try ModelConfiguration(contentsOf: url)
}

@Suite("config.json")
struct ModelConfigurationTests {
    static var sizes: [String: Any] {
        [
            "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 48, "vocab_size": 90, "max_position_embeddings": 64,
        ]
    }

    private func read(_ type: String, _ changes: [String: Any] = [:]) throws -> ModelConfiguration {
        try configuration(
            Self.sizes.merging(["model_type": type]) { $1 }.merging(changes) { $1 }
        )
    }

    @Test("rotary scaling reads alike in the spelling of transformers 4 and 5")
    func ropeSpellings() throws {
        let kinds: [[String: Any]] = [
            ["factor": 4.0, "rope_type": "linear"],
            [
                "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32, "rope_type": "llama3",
            ],
            [
                "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 8,
                "rope_type": "yarn",
            ],
        ]
        for kind in kinds {
            let five = try read(
                "qwen2",
                ["rope_parameters": kind.merging(["rope_theta": 5000]) { $1 }]
            )
            #expect(five.ropeTheta == 5000 && five.ropeScaling != nil)
            #expect(try read("qwen2", ["rope_theta": 5000, "rope_scaling": kind]) == five)
            // The first files had "type" for "rope_type".
            var old = kind
            old["type"] = old.removeValue(forKey: "rope_type")
            #expect(try read("qwen2", ["rope_theta": 5000, "rope_scaling": old]) == five)
        }
    }

    @Test(
        "Gemma 3's two sets of rotary positions read alike in both spellings, and from text_config"
    )
    func gemma3() throws {
        let four: [String: Any] = [
            "head_dim": 16, "rope_theta": 2e6, "rope_local_base_freq": 500,
            "rope_scaling": ["rope_type": "linear", "factor": 8.0], "sliding_window_pattern": 2,
            "sliding_window": 8, "query_pre_attn_scalar": 16,
        ]
        let five: [String: Any] = [
            "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16,
            "layer_types": [
                "sliding_attention", "full_attention", "sliding_attention", "full_attention",
            ],
            "rope_parameters": [
                "full_attention": ["rope_type": "linear", "factor": 8.0, "rope_theta": 2e6],
                "sliding_attention": ["rope_type": "default", "rope_theta": 500],
            ],
        ]
        let expected = try read("gemma3_text", five)
        #expect(expected.ropeScaling == .linear(factor: 8))
        #expect(expected.localRopeTheta == 500 && expected.ropeTheta == 2e6)
        #expect(expected.embeddingScale == Float(32).squareRoot() && expected.tiesEmbeddings)
        #expect((0..<4).map { expected.window(ofLayer: $0) } == [8, nil, 8, nil])
        #expect(try read("gemma3_text", four) == expected)
        var nested = Self.sizes.merging(four) { $1 }
        nested["model_type"] = "gemma3_text"
        let whole = try configuration([
            "model_type": "gemma3", "text_config": nested, "vision_config": ["hidden_size": 8],
            "eos_token_id": [1, 106],
        ])
        #expect(whole.endOfSequence == 1)
        var same = expected
        same.endOfSequence = 1
        #expect(whole == same)
    }

    @Test("windows: Mistral's default, Qwen's switch and first layer, Gemma 2's every other layer")
    func windows() throws {
        #expect(try read("mistral").window(ofLayer: 3) == 4096)
        #expect(try read("mistral", ["sliding_window": NSNull()]).window(ofLayer: 3) == nil)
        let off: [String: Any] = ["sliding_window": 8, "max_window_layers": 3]
        #expect(try read("qwen3", off).slidingWindow == nil)
        let on = try read("qwen3", off.merging(["use_sliding_window": true]) { $1 })
        #expect((0..<4).map { on.window(ofLayer: $0) } == [nil, nil, nil, 8])
        let gemma = try read("gemma2", ["sliding_window": 8])
        #expect((0..<4).map { gemma.window(ofLayer: $0) } == [8, nil, 8, nil])
        #expect(gemma.attentionSoftCap == 50 && gemma.logitSoftCap == 30)
        #expect(try read("gemma2", ["attn_logit_softcapping": NSNull()]).attentionSoftCap == nil)
        #expect(try read("phi3").slidingWindow == nil)
    }

    @Test("partial rotary positions: NeoX's share, Phi-3's factor beside or inside the scaling")
    func partialRotary() throws {
        #expect(try read("gpt_neox").rotarySize == 2)
        #expect(try read("gpt_neox", ["rotary_pct": 1.0]).rotarySize == nil)
        #expect(try read("gpt_neox", ["rotary_emb_base": 77]).ropeTheta == 77)
        #expect(try read("phi3", ["partial_rotary_factor": 0.75]).rotarySize == 6)
        let factors: [String: Any] = [
            "type": "su", "short_factor": [1, 1, 1.5], "long_factor": [2, 2, 3],
        ]
        let phi = try read(
            "phi3",
            [
                "rope_scaling": factors.merging(["partial_rotary_factor": 0.75]) { $1 },
                "original_max_position_embeddings": 16,
            ]
        )
        #expect(phi.rotarySize == 6)
        #expect(
            phi.ropeScaling
                == .longRope(
                    .init(
                        shortFactors: [1, 1, 1.5],
                        longFactors: [2, 2, 3],
                        originalMaxPositions: 16
                    )
                )
        )
    }

    @Test("rotary keys: rope_scaling before rope_parameters, what is inside before what is outside")
    func ropePrecedence() throws {
        let linear: [String: Any] = ["rope_type": "linear", "factor": 4.0]
        let both = try read(
            "llama",
            [
                "rope_scaling": linear, "rope_theta": 700,
                "rope_parameters": ["rope_type": "linear", "factor": 2.0, "rope_theta": 900],
            ]
        )
        #expect(both.ropeScaling == .linear(factor: 4) && both.ropeTheta == 700)
        let empty = try read(
            "llama",
            [
                "rope_scaling": [String: Any](), "rope_theta": 700,
                "rope_parameters": linear.merging(["rope_theta": 900]) { $1 },
            ]
        )
        #expect(empty.ropeScaling == .linear(factor: 4) && empty.ropeTheta == 900)
        let neox = try read(
            "gpt_neox",
            ["rotary_emb_base": 77, "rope_parameters": ["rope_theta": 900]]
        )
        #expect(neox.ropeTheta == 900)
    }

    @Test(
        "original positions: the outer key, then the inner, then the model's; Phi-3's outer alone"
    )
    func originalPositions() throws {
        func llama3(_ inner: [String: Any], _ outer: [String: Any] = [:]) throws -> Int? {
            let scaling: [String: Any] = [
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            ]
            let changes = outer.merging(["rope_scaling": scaling.merging(inner) { $1 }]) { $1 }
            guard case .llama3(let read) = try read("llama", changes).ropeScaling else {
                return nil
            }
            return read.originalMaxPositions
        }
        let key = "original_max_position_embeddings"
        #expect(try llama3([:]) == 64)
        #expect(try llama3([key: 32]) == 32)
        #expect(try llama3([key: 32], [key: 16]) == 16)
        let factors: [String: Any] = [
            "type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2], key: 32,
        ]
        for (outer, expected) in [([:], 4096), ([key: 16], 16)] as [([String: Any], Int)] {
            let phi = try read("phi3", outer.merging(["rope_scaling": factors]) { $1 })
            guard case .longRope(let scaling) = phi.ropeScaling else {
                Issue.record("no long rotary positions")
                continue
            }
            #expect(scaling.originalMaxPositions == expected)
        }
    }

    @Test("YaRN's bounds of 0 are the usual ones")
    func yarnBounds() throws {
        let yarn: [String: Any] = ["rope_type": "yarn", "factor": 2.0]
        let zeros = yarn.merging(["beta_fast": 0, "beta_slow": 0]) { $1 }
        #expect(
            try read("llama", ["rope_scaling": zeros]) == read("llama", ["rope_scaling": yarn])
        )
    }

    @Test("Gemma 3 has no attention soft-cap, whatever its file says")
    func gemma3SoftCap() throws {
        let gemma = try read(
            "gemma3_text",
            ["attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0]
        )
        #expect(gemma.attentionSoftCap == nil && gemma.logitSoftCap == 30)
    }

    @Test(
        "key-value heads that are left out are the class's default; null is one for each head",
        arguments: [
            ("mistral", 8), ("qwen2", 32), ("qwen3", 32), ("gemma2", 4), ("gemma3_text", 4),
            ("llama", 64), ("olmo2", 64), ("phi3", 64),
        ]
    )
    func keyValueHeads(type: String, expected: Int) throws {
        var keys = Self.sizes.merging([
            "model_type": type, "num_attention_heads": 64, "hidden_size": 512,
        ]) { $1 }
        keys["num_key_value_heads"] = nil
        #expect(try configuration(keys).keyValueHeadCount == expected)
        guard !type.hasPrefix("gemma") else { return }
        keys["num_key_value_heads"] = NSNull()
        #expect(try configuration(keys).keyValueHeadCount == 64)
    }

    @Test("a stored head that differs from the embedding unties the two", arguments: [false, true])
    func storedHead(differs: Bool) throws {
        let original = try ParityFixture("llama").directory
        try withScratchDirectory { directory in
            let file = try SafetensorsFile(
                path: original.appendingPathComponent("model.safetensors").path
            )
            var tensors = try file.tensorNames.map { name in
                let info = try file.requiredInfo(name)
                let values = Matrix(uninitialized: info.rowCount, info.rowLength)
                try file.read(
                    name,
                    into: UnsafeMutableBufferPointer(start: values.base, count: values.count)
                )
                return (name: name, shape: info.shape, values: values)
            }
            let embedding = try #require(tensors.first { $0.name == "model.embed_tokens.weight" })
            let head = embedding.values.copied()
            if differs { head.base[head.count - 1] += 1 }
            tensors.append((name: "lm_head.weight", shape: embedding.shape, values: head))
            let entries = tensors.map {
                (
                    name: $0.name, shape: $0.shape,
                    values: UnsafeBufferPointer(start: $0.values.base, count: $0.values.count)
                )
            }
            try withExtendedLifetime(tensors) {
                try SafetensorsWriter.write(
                    entries,
                    type: .f32,
                    to: directory.appendingPathComponent("model.safetensors")
                )
            }
            try FileManager.default.copyItem(
                at: original.appendingPathComponent("config.json"),
                to: directory.appendingPathComponent("config.json")
            )
            let checkpoint = try Checkpoint(directory)
            #expect(checkpoint.configuration.tiesEmbeddings == !differs)
            #expect(try checkpoint.model().outputHead.value.values == head.values)
        }
    }

    @Test("a config.json beyond 16 MiB is refused")
    func size() throws {
        let error = #expect(throws: ModelError.self) {
            try read("llama", ["note": String(repeating: "a", count: 17 << 20)])
        }
        #expect(error?.message.contains("too large") == true)
    }

    // Read by index, since arguments of a test must be sendable.
    static var refused: [(type: String, keys: [String: Any], words: String)] {
        [
            ("falcon", [:], "unknown architecture \"falcon\""),
            ("llama", ["hidden_act": "relu"], "\"hidden_act\" is relu"),
            (
                "llama", ["rope_scaling": ["type": "dynamic", "factor": 2.0]],
                "\"rope_scaling.rope_type\" is dynamic"
            ),
            (
                "llama", ["rope_parameters": ["partial_rotary_factor": 0.5]],
                "\"partial_rotary_factor\" is 0.5"
            ),
            ("llama", ["rope_scaling": ["type": "linear"]], "without \"factor\""),
            ("llama", ["rope_scaling": ["type": "llama3"]], "without \"factor\""),
            (
                "llama", ["rope_scaling": ["type": "llama3", "factor": 8]],
                "without \"low_freq_factor\""
            ),
            (
                "llama", ["rope_scaling": ["type": "llama3", "factor": 8, "low_freq_factor": 1]],
                "without \"high_freq_factor\""
            ),
            ("llama", ["is_causal": false], "\"is_causal\" is false"),
            ("gpt2", ["is_causal": false], "\"is_causal\" is false"),
            (
                "gemma3_text",
                [
                    "rope_scaling": ["rope_type": "linear", "factor": 8.0],
                    "rope_parameters": ["full_attention": ["rope_theta": 5]],
                ],
                "\"rope_scaling\" and \"rope_parameters\""
            ),
            ("llama", ["rope_scaling": ["type": "linear", "factor": -1]], "factor of -1"),
            (
                "llama",
                [
                    "rope_scaling": [
                        "type": "yarn", "factor": 2, "original_max_position_embeddings": 0,
                    ]
                ],
                "original_max_position_embeddings of 0"
            ),
            ("llama", ["hidden_size": "32"], "\"hidden_size\" is not a number"),
            ("llama", ["hidden_size": 32.5], "\"hidden_size\" is not a whole number"),
            ("llama", ["hidden_size": true], "\"hidden_size\" is not a number"),
            ("llama", ["num_hidden_layers": 1e18], "layers of 1000000000000000000"),
            ("llama", ["num_attention_heads": 0], "attention heads of 0"),
            ("llama", ["rope_theta": 0], "rotary base of 0"),
            (
                "llama", ["rope_scaling": ["type": "yarn", "factor": 2, "mscale": 1e300]],
                "mscale of inf"
            ),
            ("llama", ["quantization_config": ["bits": 4]], "quantization_config"),
            ("qwen2", ["head_dim": 7], "an odd head size of 7"),
            (
                "qwen2",
                [
                    "use_sliding_window": true, "sliding_window": 8,
                    "layer_types": ["full_attention"],
                ],
                "\"layer_types\" names 1 layers of 4"
            ),
            (
                "qwen2",
                [
                    "use_sliding_window": true, "sliding_window": 8,
                    "layer_types": [
                        "full_attention", "chunked_attention", "full_attention", "full_attention",
                    ],
                ], "\"layer_types\" is chunked_attention"
            ),
            ("mistral", ["sliding_window": 0], "sliding window of 0"),
            ("gemma2", ["query_pre_attn_scalar": 0], "query scalar of 0"),
            ("gemma2", ["attn_logit_softcapping": -3], "attention soft-cap of -3"),
            (
                "gemma3_text", ["use_bidirectional_attention": true],
                "\"use_bidirectional_attention\" is true"
            ),
            ("gpt_neox", ["rotary_pct": 0.4], "3 rotary channels in a head of 8"),
            ("gpt_neox", ["rotary_pct": 1.5], "\"rotary_pct\" is 1.5"),
            (
                "phi3",
                ["rope_scaling": ["type": "longrope", "short_factor": [1], "long_factor": [1]]],
                "\"short_factor\" has 1 numbers"
            ),
            (
                "phi3", ["rope_scaling": ["type": "longrope", "short_factor": [1, "a"]]],
                "\"rope_scaling.short_factor\" is not a list of numbers"
            ),
            ("phi3", ["head_dim": 16], "4 heads do not divide 32 channels"),
        ]
    }

    @Test(
        "what Retort does not compute or no model has is refused by key",
        arguments: refused.indices
    )
    func refusals(index: Int) {
        let (type, keys, words) = Self.refused[index]
        let error = #expect(throws: ModelError.self) { _ = try read(type, keys) }
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        #expect(error?.remedy.isEmpty == false)
    }

    @Test("an unknown architecture is refused with the list of known ones")
    func unknown() {
        let error = #expect(throws: ModelError.self) { _ = try read("bloom") }
        for name in ["llama", "gemma3_text", "gpt_neox", "olmo2", "phi3", "qwen3", "mistral"] {
            #expect(error?.remedy.contains(name) == true)
        }
    }
}

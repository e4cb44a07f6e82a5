import Foundation
import Models
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

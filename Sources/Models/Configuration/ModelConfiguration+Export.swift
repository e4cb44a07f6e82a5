import Foundation

extension ModelConfiguration {
    /// config.json's keys and values, as transformers 4 and 5 read them.
    func jsonObject(type: WeightType) -> [String: Any] {
        var object: [String: Any] = [
            "model_type": modelType, "architectures": [transformersClass],
            "vocab_size": vocabularySize, "tie_word_embeddings": tiesEmbeddings,
            "torch_dtype": type == .f32 ? "float32" : type == .bf16 ? "bfloat16" : "float16",
        ]
        object["eos_token_id"] = endOfSequence
        object["bos_token_id"] = beginOfSequence
        let own = modelType == "gpt2" ? gpt2Keys : usualKeys.merging(familyKeys) { $1 }
        return object.merging(own) { $1 }
    }

    private var transformersClass: String {
        switch modelType {
        case "gpt2": "GPT2LMHeadModel"
        case "gpt_neox": "GPTNeoXForCausalLM"
        case "mistral": "MistralForCausalLM"
        case "qwen2": "Qwen2ForCausalLM"
        case "qwen3": "Qwen3ForCausalLM"
        case "olmo2": "Olmo2ForCausalLM"
        case "phi3": "Phi3ForCausalLM"
        case "gemma2": "Gemma2ForCausalLM"
        case "gemma3_text": "Gemma3ForCausalLM"
        default: "LlamaForCausalLM"
        }
    }

    private var gpt2Keys: [String: Any] {
        [
            "n_embd": hiddenSize, "n_layer": layerCount, "n_head": headCount,
            "n_positions": maxPositions, "n_ctx": maxPositions, "n_inner": intermediateSize,
            "layer_norm_epsilon": normEpsilon.decimal,
            "activation_function": activation == .geluTanh ? "gelu_new" : activation.rawValue,
            "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        ]
    }

    /// What all but GPT-2 have.
    private var usualKeys: [String: Any] {
        var keys: [String: Any] = [
            "hidden_size": hiddenSize, "num_hidden_layers": layerCount,
            "num_attention_heads": headCount, "num_key_value_heads": keyValueHeadCount,
            "head_dim": headSize, "intermediate_size": intermediateSize,
            "max_position_embeddings": maxPositions, "rms_norm_eps": normEpsilon.decimal,
            "rope_theta": ropeTheta.decimal, "hidden_act": activation.rawValue,
        ]
        keys["rope_scaling"] = ropeScaling?.jsonObject
        return keys
    }

    private var familyKeys: [String: Any] {
        switch modelType {
        case "gpt_neox":
            return [
                "layer_norm_eps": normEpsilon.decimal, "rotary_emb_base": ropeTheta.decimal,
                "rotary_pct": rotaryShare, "use_parallel_residual": parallelResidual,
                "attention_bias": attentionBias, "hidden_dropout": 0.0, "attention_dropout": 0.0,
            ]
        case "llama":
            return ["attention_bias": attentionBias, "mlp_bias": feedForwardBias]
        case "mistral":
            return ["sliding_window": windowOrNull]
        case "qwen2":
            return windowKeys
        case "qwen3":
            return windowKeys.merging(["attention_bias": attentionBias]) { $1 }
        case "olmo2":
            return ["attention_bias": attentionBias]
        case "phi3":
            var keys: [String: Any] = [
                "sliding_window": windowOrNull, "partial_rotary_factor": rotaryShare,
                // The class has ids of its own for what is not given, beyond a small vocabulary.
                "pad_token_id": NSNull(), "resid_pdrop": 0.0, "embd_pdrop": 0.0,
            ]
            if case .longRope(let scaling) = ropeScaling {
                keys["original_max_position_embeddings"] = scaling.originalMaxPositions
            }
            return keys
        case "gemma2", "gemma3_text":
            var keys: [String: Any] = [
                "hidden_activation": activation.rawValue, "attention_bias": attentionBias,
                "query_pre_attn_scalar": (queryScalar ?? Float(headSize)).wholeOrDecimal,
                "attn_logit_softcapping": attentionSoftCap?.decimal ?? NSNull(),
                "final_logit_softcapping": logitSoftCap?.decimal ?? NSNull(),
                "sliding_window": windowOrNull, "layer_types": kindNames,
            ]
            keys["rope_local_base_freq"] = localRopeTheta?.decimal
            return keys
        default:
            return [:]
        }
    }

    private var windowOrNull: Any { slidingWindow ?? NSNull() }

    private var kindNames: [String] {
        (layerKinds.isEmpty ? Array(repeating: .full, count: layerCount) : layerKinds)
            .map(\.rawValue)
    }

    /// Qwen's window.
    private var windowKeys: [String: Any] {
        [
            "use_sliding_window": slidingWindow != nil, "sliding_window": windowOrNull,
            "layer_types": kindNames,
        ]
    }

    /// The share of each head that is turned, such that its product with the head size, cut to a whole
    /// number, is `rotarySize` again.
    private var rotaryShare: Double {
        guard let rotarySize else { return 1 }
        let share = Double(rotarySize) / Double(headSize)
        return Int(Double(headSize) * share) < rotarySize ? share.nextUp : share
    }
}

extension Float {
    /// A whole number as one, since some keys of config.json may hold nothing else.
    fileprivate var wholeOrDecimal: Any { Int(exactly: self) ?? decimal }
}

/// Where a GGUF file keeps a weight that Hugging Face checkpoints give another name, and how its
/// numbers lie there.
///
/// Names: `gguf.constants.MODEL_TENSORS` and `gguf.tensor_mapping` of the gguf package.
/// Rearrangements: those of llama.cpp's converter (conversion/llama.py, gemma.py, gpt2.py,
/// gptneox.py); the other families' weights are stored as they are.
struct GGUFNames: Sendable {
    /// The architectures that are read, by `general.architecture`, with their `model_type`.
    ///
    /// Files of Mistral models call themselves llama.
    static let modelTypes = [
        "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2",
        "gptneox": "gpt_neox", "gemma2": "gemma2", "gemma3": "gemma3_text", "phi3": "phi3",
        "olmo2": "olmo2",
    ]

    /// Tensors that are no weights: tables of rotary factors, which the configuration takes in.
    static let tables: Set = [
        "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    ]

    /// `general.architecture`.
    let architecture: String
    let headCount: Int
    let headSize: Int

    /// The tensor of a weight, and how it lies there.
    func place(of name: String) -> (name: String, layout: StoredLayout) {
        (stored(name), layout(name))
    }

    private func stored(_ name: String) -> String {
        let parts = name.split(separator: ".").map(String.init)
        guard let kind = parts.last else { return name }
        let module = parts.dropLast().joined(separator: ".")
        if let whole = Self.outside[module] { return "\(whole).\(kind)" }
        // model.layers.N., transformer.h.N., gpt_neox.layers.N.
        guard parts.count > 4, Int(parts[2]) != nil else { return name }
        let part = parts[3..<(parts.count - 1)].joined(separator: ".")
        let inside =
            hasOuterNorms
            ? Self.outerNorms[part] ?? Self.inside[part] ?? part : Self.inside[part] ?? part
        return "blk.\(parts[2]).\(inside).\(kind)"
    }

    /// Whether there is a norm after each layer as well, which changes what names mean.
    private var hasOuterNorms: Bool {
        ["gemma2", "gemma3", "olmo2"].contains(architecture)
    }

    private func layout(_ name: String) -> StoredLayout {
        switch architecture {
        case "llama":
            [".q_proj.", ".k_proj."].contains(where: name.contains)
                ? .interleavedHalves(headSize: headSize) : .plain
        case "gemma2", "gemma3": name.hasSuffix("norm.weight") ? .onePlus : .plain
        case "gpt2":
            [".c_attn.weight", ".c_proj.weight", ".c_fc.weight"].contains(where: name.hasSuffix)
                ? .transposed : .plain
        case "gptneox":
            name.contains(".query_key_value.")
                ? .queriesKeysValues(headCount: headCount, headSize: headSize) : .plain
        default: .plain
        }
    }

    private static let outside = [
        "model.embed_tokens": "token_embd", "transformer.wte": "token_embd",
        "gpt_neox.embed_in": "token_embd", "transformer.wpe": "position_embd",
        "model.norm": "output_norm", "transformer.ln_f": "output_norm",
        "gpt_neox.final_layer_norm": "output_norm", "lm_head": "output", "embed_out": "output",
    ]

    private static let inside = [
        "input_layernorm": "attn_norm", "ln_1": "attn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "self_attn.qkv_proj": "attn_qkv", "attn.c_attn": "attn_qkv",
        "attention.query_key_value": "attn_qkv", "self_attn.o_proj": "attn_output",
        "attn.c_proj": "attn_output", "attention.dense": "attn_output",
        "post_attention_layernorm": "ffn_norm", "ln_2": "ffn_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up",
        "mlp.c_fc": "ffn_up", "mlp.dense_h_to_4h": "ffn_up", "mlp.down_proj": "ffn_down",
        "mlp.c_proj": "ffn_down", "mlp.dense_4h_to_h": "ffn_down",
    ]

    private static let outerNorms = [
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    ]
}

"""Writes Tests/ModelsTests/Fixtures/gguf: a tiny GGUF model of each architecture.

    python reference/gguf_goldens.py

Needs torch, transformers, gguf, safetensors. All numbers come from fixed seeds.
NAME.gguf holds a random transformers model under the names of gguf.tensor_mapping and with the
metadata and rearrangements of llama.cpp's converter (conversion/*.py in its sources):

    llama    rows of q and k: the halves of each head interleaved; Llama 3's scaling as rope_freqs
    gemma2/3 norm weights plus one
    gpt2     Conv1D weights transposed
    gptneox  the fused rows head by head (q, k, v) become all q, all k, all v

Norms and biases are F32, matrices BF16 or Q8_0. NAME.safetensors holds what they mean:

    tokens [20] int64, offsets [4] int64   three sequences end to end
    hidden [20, d], logits [20, V]         each sequence run by itself in f32
    param/HF NAME                          every weight, BF16 where that is exact

Where transformers reads the architecture from GGUF, the script stops unless its logits from
NAME.gguf are those of the model that was written: with the configuration that it finds in the file
("whole"), or with the model's own where it does not look for all that is there ("tensors"). split/ holds qwen2 in three parts, made as
llama.cpp's gguf-split does.
"""

import math
import pathlib
import shutil

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers import (
    Gemma2Config, Gemma3TextConfig, GPT2Config, GPTNeoXConfig, LlamaConfig, Olmo2Config,
    Phi3Config, Qwen2Config, Qwen3Config,
)  # fmt: skip

FOLDER = pathlib.Path(__file__).parents[1] / "Tests/ModelsTests/Fixtures/gguf"
T = gguf.GGMLQuantizationType
LENGTHS = (7, 1, 12)
COMMON = dict(
    vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=64, max_position_embeddings=64, pad_token_id=0,
    bos_token_id=1, eos_token_id=2, attention_dropout=0.0,
)  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [1.0, 3.0, 5.0, 7.0], "original_max_position_embeddings": 8,
}  # fmt: skip
NEOX = {key: value for key, value in COMMON.items() if key != "num_key_value_heads"}

# Name: (architecture, configuration, quantised, what transformers reads of it).
MODELS = {
    "llama": ("llama", LlamaConfig(**COMMON, head_dim=8, attention_bias=True), True, "tensors"),
    "llama3": (
        "llama",
        LlamaConfig(**COMMON, head_dim=16, rope_parameters=LLAMA3, tie_word_embeddings=True),
        True, "tensors",
    ),
    "mistral": ("llama", LlamaConfig(**COMMON, head_dim=8), False, "whole"),
    "qwen2": ("qwen2", Qwen2Config(**COMMON), True, "whole"),
    "qwen3": ("qwen3", Qwen3Config(**COMMON, head_dim=16), False, "tensors"),
    "gpt2": (
        "gpt2", GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64), False,
        "tensors",
    ),
    "gptneox": ("gptneox", GPTNeoXConfig(**NEOX, rotary_pct=0.5), True, None),
    "gptneox-serial": ("gptneox", GPTNeoXConfig(**NEOX, use_parallel_residual=False), False, None),
    "gemma2": (
        "gemma2",
        Gemma2Config(**COMMON, head_dim=8, sliding_window=4, query_pre_attn_scalar=8),
        False, "tensors",
    ),
    "gemma3": (
        "gemma3",
        Gemma3TextConfig(
            **COMMON | dict(num_hidden_layers=7, intermediate_size=32), head_dim=8,
            sliding_window=4, query_pre_attn_scalar=8,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        ),
        True, "tensors",
    ),
    "phi3": ("phi3", Phi3Config(**COMMON, sliding_window=5), True, "tensors"),
    "phi3-long": (
        "phi3", Phi3Config(**COMMON, rope_parameters=LONG, original_max_position_embeddings=8), False,
        "tensors",
    ),
    "olmo2": ("olmo2", Olmo2Config(**COMMON), False, None),
}  # fmt: skip


def randomise(model, quantised, generator):
    """Weights that the file's types hold exactly; the raw blocks of those that are quantised."""
    raw = {}
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = 0.2 * torch.randn(value.shape, generator=generator)
            plain_norm = ("norm" in name or ".ln_" in name) and model.config.model_type[:5] != "gemma"
            if plain_norm and name.endswith("weight"):
                noise += 1
            value.copy_(noise.bfloat16().float())
            if quantised and value.dim() == 2 and ("down" in name or "q_" in name or "qkv" in name
                                                   or "query_key" in name):
                raw[name] = gguf.quants.quantize(value.numpy(), T.Q8_0)
                value.copy_(torch.from_numpy(gguf.quants.dequantize(raw[name], T.Q8_0)))
    return raw


def stored(arch, name, array, config):
    """What the converter makes of a weight; `array` may be rows of quantised blocks."""
    if arch == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        shape = array.shape
        array = array.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2)
        return array.reshape(shape)
    if arch in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        return array + 1
    if arch == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
        return array.T
    if arch == "gptneox" and "query_key_value" in name:
        heads = config.num_attention_heads
        parts = array.reshape(heads, 3, array.shape[0] // heads // 3, *array.shape[1:])
        return np.concatenate([parts[:, i].reshape(-1, *array.shape[1:]) for i in range(3)])
    return array


def head_size(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def add_metadata(writer, arch, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if arch in ("gpt2", "gptneox"):
        eps = config.layer_norm_epsilon if arch == "gpt2" else config.layer_norm_eps
        writer.add_layer_norm_eps(eps)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if arch == "gpt2":
        return
    rope = config.rope_parameters
    rope = rope.get("full_attention", rope)
    rotary = int(rope.get("partial_rotary_factor", 1.0) * head_size(config))
    if arch in ("llama", "gptneox", "phi3"):
        writer.add_rope_dimension_count(rotary)
    if arch in ("llama", "qwen3", "gemma2", "gemma3"):
        writer.add_key_length(head_size(config))
        writer.add_value_length(head_size(config))
    if arch == "gptneox":
        writer.add_parallel_residual(config.use_parallel_residual)
        return
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if arch == "phi3":
        writer.add_sliding_window(config.sliding_window or 0)
        if rope["rope_type"] == "longrope":
            original = rope["original_max_position_embeddings"]
            scale = config.max_position_embeddings / original
            writer.add_rope_scaling_orig_ctx_len(original)
            writer.add_rope_scaling_attn_factors(
                math.sqrt(1 + math.log(scale) / math.log(original)))


def rope_tables(arch, config):
    """Factors that the converter writes as tensors."""
    if arch == "gpt2":
        return {}
    rope = config.rope_parameters
    if rope.get("rope_type") == "longrope":
        return {
            "rope_factors_long.weight": np.array(rope["long_factor"], dtype=np.float32),
            "rope_factors_short.weight": np.array(rope["short_factor"], dtype=np.float32),
        }
    if rope.get("rope_type") != "llama3":
        return {}
    size = head_size(config)
    wave = 2 * math.pi * rope["rope_theta"] ** (np.arange(0, size, 2) / size)
    original, low, high = 8192, rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = np.clip((original / wave - low) / (high - low), 0, 1)
    factors = 1 / ((1 - smooth) / rope["factor"] + smooth)
    return {"rope_freqs.weight": factors.astype(np.float32)}


def tensors(arch, model, raw):
    """Name, array and type of everything that the file holds, in order."""
    config = model.config
    names = gguf.get_tensor_name_map(
        [key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == arch][0],
        config.num_hidden_layers)
    for name, factors in rope_tables(arch, config).items():
        yield name, factors, T.F32
    for name, value in model.named_parameters():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if name in raw:
            yield target, stored(arch, name, raw[name], config), T.Q8_0
            continue
        array = np.ascontiguousarray(stored(arch, name, value.detach().numpy(), config))
        if array.ndim == 1:
            yield target, array, T.F32
        else:
            yield target, gguf.quants.quantize(array, T.BF16), T.BF16


def write(path, arch, model, raw):
    writer = gguf.GGUFWriter(path, arch)
    add_metadata(writer, arch, model.config)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, array, kind in tensors(arch, model, raw):
        writer.add_tensor(name, array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_split(folder, arch, model, raw):
    """Three parts; only the first has more metadata than its place among them."""
    folder.mkdir(exist_ok=True)
    everything = list(tensors(arch, model, raw))
    size = -(-len(everything) // 3)
    for part in range(3):
        writer = gguf.GGUFWriter(folder / f"tiny-{part + 1:05d}-of-00003.gguf", arch)
        if part == 0:
            add_metadata(writer, arch, model.config)
        writer.add_uint16("split.no", part)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", len(everything))
        for name, array, kind in everything[part * size : (part + 1) * size]:
            writer.add_tensor(name, array, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


@torch.no_grad()
def run(model, tokens):
    outputs = [model(t[None], output_hidden_states=True) for t in tokens.split(LENGTHS)]
    hidden = torch.cat([o.hidden_states[-1][0] for o in outputs])
    return hidden, torch.cat([o.logits[0] for o in outputs])


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for seed, (name, (arch, config, quantised, readable)) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(2000 + seed)
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config).float().eval()
        raw = randomise(model, quantised, generator)
        write(FOLDER / f"{name}.gguf", arch, model, raw)
        if name == "qwen2":
            write_split(FOLDER / "split", arch, model, raw)
        tokens = torch.randint(0, config.vocab_size, (sum(LENGTHS),), generator=generator)
        hidden, logits = run(model, tokens)
        if readable:
            own = {"config": config} if readable == "tensors" else {}
            again = AutoModelForCausalLM.from_pretrained(
                FOLDER, gguf_file=f"{name}.gguf", dtype=torch.float32, attn_implementation="eager",
                **own
            ).eval()
            difference = (run(again, tokens)[1] - logits).abs().max().item()
            assert difference < 1e-5, f"{name}: transformers reads it {difference} apart"
        values = {
            "tokens": tokens,
            "offsets": torch.tensor([0, *np.cumsum(LENGTHS).tolist()]),
            "hidden": hidden,
            "logits": logits,
        }
        for key, value in model.named_parameters():
            half = value.detach().bfloat16()
            values[f"param/{key}"] = half if (half.float() == value).all() else value.detach()
        save_file({k: v.contiguous() for k, v in values.items()}, FOLDER / f"{name}.safetensors")
        sizes = [(FOLDER / f"{name}.{end}").stat().st_size for end in ("gguf", "safetensors")]
        print(f"{name}: {sizes[0]:,} and {sizes[1]:,} bytes, read by transformers: {readable}")


if __name__ == "__main__":
    main()

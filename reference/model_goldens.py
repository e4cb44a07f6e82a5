"""Golden files of tiny random models, for Tests/ModelsTests.

    python reference/model_goldens.py [OUT]      default OUT: Tests/ModelsTests/Fixtures/parity

One folder a model: config.json and model.safetensors (f32) as `save_pretrained` writes them, and
golden.safetensors with

    tokens    [20] int64   three sequences of 7, 1 and 12 tokens, end to end
    offsets   [4] int64
    hidden    [20, d]      the last hidden state after the final norm
    logits    [20, V]
    d_hidden  [20, d]      a random cotangent
    grad/NAME              gradient of sum(hidden * d_hidden) for the parameter NAME of
                           model.safetensors; a tied embedding gets its input side only, and an
                           untied head, which `hidden` does not depend on, has no entry

Windows are shorter than the longest sequence, soft-caps are low enough to bite, and phi3's original
length lies between two of the sequences, so that both sets of rotary frequencies are used.

Every sequence is run by itself: batch of one, no padding, positions from 0. All in f32.
"""

import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, GPT2Config,
    GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM,
    MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Phi3Config, Phi3ForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
)  # fmt: skip

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = (7, 1, 12)


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=101, n_embd=24, n_layer=2, n_head=3, n_positions=32,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


def llama(**changes):
    settings = dict(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, intermediate_size=48, max_position_embeddings=64,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**(settings | changes)))


def llama3():
    # Wavelengths of a head of 8 are 6.3, 63, 628 and 6,283 positions: the first stays, the second
    # is blended (between 128 / 4 and 128 / 1), the others are divided by the factor.
    return llama(
        intermediate_size=24,
        tie_word_embeddings=False,
        max_position_embeddings=1024,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 128,
        },
    )  # fmt: skip


# Three heads of 8 channels, one key-value head: what a family does not say otherwise. No padding token,
# whose embedding would get no gradient.
SMALL = dict(
    vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    num_key_value_heads=1, intermediate_size=40, max_position_embeddings=64, bos_token_id=1,
    eos_token_id=2, pad_token_id=None, tie_word_embeddings=False,
)  # fmt: skip


def small(model, config, **changes):
    return model(config(**(SMALL | changes)))


def llama_bias():
    return small(
        LlamaForCausalLM, LlamaConfig, attention_bias=True, mlp_bias=True, hidden_act="gelu",
        rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
    )  # fmt: skip


def mistral():
    return small(
        MistralForCausalLM, MistralConfig, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        sliding_window=5,
    )  # fmt: skip


def qwen2():
    return small(
        Qwen2ForCausalLM, Qwen2Config, use_sliding_window=True, sliding_window=4,
        max_window_layers=1, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0,
            "original_max_position_embeddings": 16, "beta_fast": 4.0, "beta_slow": 0.5,
        },
    )  # fmt: skip


def qwen3():
    return small(
        Qwen3ForCausalLM, Qwen3Config, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
        attention_bias=True, tie_word_embeddings=True,
    )  # fmt: skip


def olmo2():
    return small(
        Olmo2ForCausalLM, Olmo2Config,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "attention_factor": 1.3,
            "original_max_position_embeddings": 16, "truncate": False,
        },
    )  # fmt: skip


def phi3():
    factors = {"short_factor": [1.0, 1.1, 1.3], "long_factor": [1.2, 2.5, 4.0]}
    return small(
        Phi3ForCausalLM, Phi3Config, sliding_window=6, original_max_position_embeddings=8,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 1000.0, "partial_rotary_factor": 0.75, **factors
        },
    )  # fmt: skip


def neox(**changes):
    settings = SMALL | {"num_key_value_heads": None} | changes
    del settings["num_key_value_heads"]
    return GPTNeoXForCausalLM(GPTNeoXConfig(**settings))


def neox_serial():
    return neox(
        use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
    )  # fmt: skip


def gemma2():
    return small(
        Gemma2ForCausalLM, Gemma2Config, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
        query_pre_attn_scalar=6, attn_logit_softcapping=2.0, final_logit_softcapping=5.0,
        sliding_window=5, tie_word_embeddings=True,
    )  # fmt: skip


def gemma3():
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    return small(
        Gemma3ForCausalLM, Gemma3TextConfig, num_attention_heads=2, head_dim=12,
        num_hidden_layers=3, layer_types=kinds, query_pre_attn_scalar=9, sliding_window=4,
        tie_word_embeddings=True,
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
        },
    )  # fmt: skip


MODELS = {
    "gpt2": gpt2, "llama": llama, "llama3": llama3, "llama_bias": llama_bias, "mistral": mistral,
    "qwen2": qwen2, "qwen3": qwen3, "olmo2": olmo2, "phi3": phi3, "gpt_neox": neox,
    "gpt_neox_serial": neox_serial, "gemma2": gemma2, "gemma3": gemma3,
}  # fmt: skip


def randomise(model, generator):
    """Weights large enough that every layer matters; no norm weight is 1, no bias is 0."""
    centre = 0.0 if model.config.model_type.startswith("gemma") else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = 0.2 * torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name or ".ln_" in name
            parameter.copy_(noise + centre if is_norm and name.endswith("weight") else noise)


def golden(model, generator):
    config = model.config
    tokens = torch.randint(0, config.vocab_size, (sum(LENGTHS),), generator=generator)
    offsets = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()])
    hidden = torch.cat(
        [model.base_model(t[None]).last_hidden_state[0] for t in tokens.split(LENGTHS)]
    )
    with torch.no_grad():
        logits = torch.cat([model(t[None]).logits[0] for t in tokens.split(LENGTHS)])
    d_hidden = torch.randn(hidden.shape, generator=generator)
    (hidden * d_hidden).sum().backward()
    out = {
        "tokens": tokens,
        "offsets": offsets,
        "hidden": hidden.detach(),
        "logits": logits,
        "d_hidden": d_hidden,
    }
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            out[f"grad/{name}"] = parameter.grad
    return {name: value.contiguous() for name, value in out.items()}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    out = out or ROOT / "Tests/ModelsTests/Fixtures/parity"
    for seed, (name, build) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(1000 + seed)
        model = build().float().eval()
        model.set_attn_implementation("eager")
        randomise(model, generator)
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        values = golden(model, generator)
        save_file(values, folder / "golden.safetensors")
        size = sum(file.stat().st_size for file in folder.iterdir())
        spread = values["hidden"].std(dim=0).mean().item()
        print(f"{name}: {size:,} bytes, hidden spread {spread:.3f}, {len(values) - 5} gradients")


if __name__ == "__main__":
    main()

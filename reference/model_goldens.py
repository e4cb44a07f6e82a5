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

Every sequence is run by itself: batch of one, no padding, positions from 0. All in f32.
"""

import pathlib
import shutil
import sys

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

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


def randomise(model, generator):
    """Weights large enough that every layer matters; no norm weight is 1, no bias is 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = 0.2 * torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name or ".ln_" in name
            parameter.copy_(noise + 1.0 if is_norm and name.endswith("weight") else noise)


def golden(model, generator):
    config = model.config
    tokens = torch.randint(0, config.vocab_size, (sum(LENGTHS),), generator=generator)
    offsets = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()])
    hidden = torch.cat(
        [model.base_model(t[None]).last_hidden_state[0] for t in tokens.split(LENGTHS)]
    )
    d_hidden = torch.randn(hidden.shape, generator=generator)
    (hidden * d_hidden).sum().backward()
    out = {
        "tokens": tokens,
        "offsets": offsets,
        "hidden": hidden.detach(),
        "logits": model.lm_head(hidden).detach(),
        "d_hidden": d_hidden,
    }
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            out[f"grad/{name}"] = parameter.grad
    return {name: value.contiguous() for name, value in out.items()}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    out = out or ROOT / "Tests/ModelsTests/Fixtures/parity"
    for seed, (name, build) in enumerate([("gpt2", gpt2), ("llama", llama), ("llama3", llama3)]):
        generator = torch.Generator().manual_seed(1000 + seed)
        model = build().float().eval()
        model.config._attn_implementation = "eager"
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

"""Writes Tests/ModelsTests/Fixtures/lora: LoRA adapters and the weights that PEFT merges from them.

    python reference/lora_goldens.py

Needs torch, transformers, peft, safetensors. The base models are those of Fixtures/parity (llama: tied;
llama3: untied; gpt2: Conv1D). One folder an adapter, as `PeftModel.save_pretrained` writes it, and
merged.safetensors: every weight that merge_and_unload changed, under its name in the base model.
"""

import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

FIXTURES = pathlib.Path(__file__).parents[1] / "Tests/ModelsTests/Fixtures"
ADAPTERS = {
    "plain": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "rslora": (
        "llama", dict(r=4, lora_alpha=3, use_rslora=True, target_modules=["k_proj", "up_proj"])
    ),
    "patterns": (
        "llama3",
        dict(
            r=2, lora_alpha=5, target_modules=["q_proj", "o_proj", "gate_proj"],
            rank_pattern={"o_proj": 3, "model.layers.1.self_attn.q_proj": 5},
            alpha_pattern={"gate_proj": 7, "model.layers.0.self_attn.q_proj": 1.5},
        ),
    ),
    "whole": (
        "llama3",
        dict(
            r=2, lora_alpha=4, target_modules=["v_proj"],
            modules_to_save=["lm_head", "embed_tokens", "input_layernorm"],
        ),
    ),
    "embedding": ("llama3", dict(r=3, lora_alpha=6, target_modules=["embed_tokens", "lm_head"])),
    "gpt2": (
        "gpt2",
        dict(r=4, lora_alpha=8, fan_in_fan_out=True, target_modules=["c_attn", "c_proj", "c_fc"]),
    ),
}  # fmt: skip


def main():
    folder = FIXTURES / "lora"
    shutil.rmtree(folder, ignore_errors=True)
    for seed, (name, (base, settings)) in enumerate(ADAPTERS.items()):
        generator = torch.Generator().manual_seed(3000 + seed)
        model = AutoModelForCausalLM.from_pretrained(FIXTURES / "parity" / base).float()
        before = {key: value.detach().clone() for key, value in model.named_parameters()}
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for key, value in adapted.named_parameters():
                if "lora_" in key or "modules_to_save" in key:
                    value.copy_(0.3 * torch.randn(value.shape, generator=generator))
        adapted.save_pretrained(folder / name, save_embedding_layers=False)
        (folder / name / "README.md").unlink(missing_ok=True)
        # Who made it does not matter; a path of this machine would only confuse.
        path = folder / name / "adapter_config.json"
        text = path.read_text().replace(str(FIXTURES / "parity" / base), f"tiny/{base}")
        path.write_text(text)
        merged = adapted.merge_and_unload()
        after = dict(merged.named_parameters())
        changed = {
            key: value.detach().contiguous()
            for key, value in after.items()
            if key not in before or not torch.equal(value, before[key])
        }
        save_file(changed, folder / name / "merged.safetensors")
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        print(f"{name}: {len(changed)} weights changed, {size:,} bytes")


if __name__ == "__main__":
    main()

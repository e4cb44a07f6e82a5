"""Golden files of two training steps of each student architecture, for Tests/DistillTests.

    python reference/training_goldens.py [OUT]   default OUT: Tests/DistillTests/Fixtures/training

Needs torch, transformers, peft, safetensors. The models are those of Tests/ModelsTests/Fixtures/parity,
in f32 and in eval mode, so that nothing is dropped. NAME.safetensors, for the model NAME, holds

    tokens      [24] int64    three sequences of 7, 5 and 12 tokens, end to end
    offsets     [4] int64
    supervised  [3, 2] int64  first and end (not in it) of a range of positions within each sequence,
                              the token after each of which is its label; end <= length - 1
    loss        [2] f32       before each step: the sum of the cross-entropies of all supervised
                              positions / their number
    norm        [2] f32       the L2 norm of all gradients of each step, before clipping
    grad/NAME                 the first step's gradient, before clipping, of the parameter NAME of
                              model.safetensors; a tied embedding is there once, with both sides added
    after/NAME                the parameter after both steps

and lora_NAME.safetensors the same of a LoRA adapter in place of the weights (r = 4, alpha = 8, no
dropout), with

    first/NAME                the factor before the first step

where NAME is what PEFT's adapter_model.safetensors says: base_model.model.….lora_A.weight.

Both steps are on the same batch. Every sequence is run by itself: batch of one, no padding, positions
from 0. Gradients are multiplied by min(1, 1 / (norm + 1e-6)); then AdamW with rate 1e-2, betas 0.9
and 0.999, epsilon 1e-8, decay 0.01 of what has more than one dimension and 0 of norms and biases.

AdamW divides a gradient by its own size, so that rounding decides how a parameter moves whose gradient
is 0 but for rounding. That is so of GPT-2's key bias, the middle third of `attn.c_attn.bias`: without
rotary positions it adds the same to all scores of a query. A test cannot compare `after` there. For
all else, the batch is the one of 64 random ones for which rounding matters least (see `growth`).

What is printed last of each file is how far `grad` is from the same computation in f64, as a share of
the largest gradient, and how far `after` is, for all but that bias and then for that bias.
"""

import copy
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = ROOT / "Tests/ModelsTests/Fixtures/parity"
LENGTHS = (7, 5, 12)
SUPERVISED = ((2, 5), (1, 4), (4, 11))  # in the middle, then twice to the end
STEPS, RATE, DECAY, CLIP = 2, 1e-2, 0.01, 1.0
BETAS, EPSILON = (0.9, 0.999), 1e-8
BATCHES = 64

STUDENTS = ("gpt2", "llama", "llama3", "llama_bias", "mistral", "qwen2", "qwen3")
ADAPTERS = {
    "llama": dict(
        target_modules=[
            "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
        ]
    ),
    "gpt2": dict(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True),
    "qwen3": dict(target_modules=["q_proj", "v_proj"]),
}  # fmt: skip


def load(name):
    model = AutoModelForCausalLM.from_pretrained(
        MODELS / name, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def trained(model):
    """What is trained, by its name in a file: a tied embedding once, a factor without `.default`."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def loss_of(model, tokens):
    total = 0
    for sequence, (first, end) in zip(tokens.split(LENGTHS), SUPERVISED):
        logits = model(sequence[None]).logits[0, first:end]
        labels = sequence[first + 1 : end + 1]
        total = total + functional.cross_entropy(logits, labels, reduction="sum")
    return total / sum(end - first for first, end in SUPERVISED)


def without_key_bias(name, value):
    """The numbers of a parameter that rounding alone does not move; see above."""
    if not name.endswith("attn.c_attn.bias"):
        return value
    query, _, value = value.chunk(3)
    return torch.cat([query, value])


def growth(root, step):
    """The most that an error in a gradient grows in what AdamW moves by, the rate left out.

    The first step moves by g / (|g| + epsilon), whose derivative is epsilon / (|g| + epsilon)^2. Later
    ones move by a mean of gradients over the root of their mean square, which at worst is divided by
    that root. A gradient of exactly 0 has no error: its token is not in the batch.
    """
    root = root[root > 0] + EPSILON
    if len(root) == 0:
        return 0.0
    return (EPSILON / root.square() if step == 0 else 1 / root).max().item()


def train(model, tokens):
    """Losses, norms, the first step's gradients and the weights after all steps.

    And the most that a parameter's movement grows an error in its gradient.
    """
    parameters = trained(model)
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for p in parameters.values() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=RATE,
        betas=BETAS,
        eps=EPSILON,
    )
    out, losses, norms, most = {}, [], [], 0.0
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, tokens)
        loss.backward()
        if step == 0:
            out |= {f"grad/{name}": p.grad.clone() for name, p in parameters.items()}
        # Multiplies by min(1, CLIP / (norm + 1e-6)).
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP))
        losses.append(loss.detach())
        optimizer.step()
        for name, p in parameters.items():
            root = optimizer.state[p]["exp_avg_sq"].div(1 - BETAS[1] ** (step + 1)).sqrt()
            most = max(most, growth(without_key_bias(name, root), step))
    out |= {f"after/{name}": p.detach() for name, p in parameters.items()}
    return {"loss": torch.stack(losses), "norm": torch.stack(norms), **out}, most


def distances(values, exact):
    """How far `grad` is from its f64 twin; `after` but for GPT-2's key bias; all of `after`."""
    largest = max(v.abs().max().item() for k, v in exact.items() if k.startswith("grad/"))
    grad, after, whole = 0.0, 0.0, 0.0
    for name, value in values.items():
        error = (value - exact[name]).abs()
        if name.startswith("grad/"):
            grad = max(grad, error.max().item() / largest)
        elif name.startswith("after/"):
            after = max(after, without_key_bias(name, error).max().item())
            whole = max(whole, error.max().item())
    return grad, after, whole


def write(model, names, seed, path):
    """Trains `model`, whose trained parameters are to have `names`, and a twin of it in f64."""
    if set(trained(model)) != set(names):
        sys.exit(f"{path.stem}: names differ: {sorted(set(trained(model)) ^ set(names))}")
    generator = torch.Generator().manual_seed(seed)
    shape = (BATCHES, sum(LENGTHS))
    batches = torch.randint(0, model.config.vocab_size, shape, generator=generator)
    double = copy.deepcopy(model).double()
    runs = [(tokens, *train(copy.deepcopy(double), tokens)) for tokens in batches]
    tokens, exact, most = min(runs, key=lambda run: run[2])
    first = {f"first/{name}": p.detach().clone() for name, p in trained(model).items()}
    values, _ = train(model, tokens)
    out = {
        "tokens": tokens,
        "offsets": torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()]),
        "supervised": torch.tensor(SUPERVISED),
        **values,
        **(first if path.stem.startswith("lora_") else {}),
    }
    save_file({name: value.contiguous() for name, value in out.items()}, path)
    grad, after, whole = distances(values, exact)
    losses, norms = (", ".join(f"{v:.4f}" for v in values[key]) for key in ("loss", "norm"))
    print(
        f"{path.stem}: {path.stat().st_size:,} bytes, {len(names)} parameters, losses {losses},"
        f" norms {norms}, growth {most:.1e};"
        f" from f64: grad {grad:.1e}, after {after:.1e}"
        + (f", key bias {whole:.1e}" if whole > after else "")
    )


def main():
    logging.disable_progress_bar()
    torch.set_num_threads(1)  # the models are too small for more
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    out = out or ROOT / "Tests/DistillTests/Fixtures/training"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for seed, name in enumerate(STUDENTS, 4000):
        with safe_open(MODELS / name / "model.safetensors", "pt") as file:
            names = list(file.keys())
        write(load(name), names, seed, out / f"{name}.safetensors")
    for seed, (name, settings) in enumerate(ADAPTERS.items(), 5000):
        adapter = LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, **settings
        )
        model = get_peft_model(load(name), adapter).eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for factor in trained(model).values():
                factor.copy_(0.1 * torch.randn(factor.shape, generator=generator))
        names = get_peft_model_state_dict(model, save_embedding_layers=False)
        write(model, names, seed + 100, out / f"lora_{name}.safetensors")


if __name__ == "__main__":
    main()

"""Offline equals online: DSKD-CMA with the teacher at every step, and retort from its cache.

    python reference/online.py [--retort .build/release/retort] [--output online.json] [--keep DIR]

Online is PyTorch: a small teacher (online_world.py) runs over the texts of every one of 50 steps, beside a
small student of another vocabulary, and criterion_losses.py says what is learnt. Offline is retort: `extract`
makes a cache of the same teacher's Hugging Face directory, `distill` trains the same student from it alone,
with the same first projectors (`projectors_from`), the same batches in the same order, AdamW with the same
groups, clipping and schedule. Texts are those of data/instructions.jsonl.

The cache with hidden_dtype f32 must give each of ce, t2s_ce, t2s_kd, s2t_kd, kd and total within 1e-4 of
the online loss, relative, at every step; exit 1 if it does not. The others (bf16, int8) are reported, and
so is PyTorch in float32 against itself in float64, which tells whose rounding it is.

t2s_kd counts only where the projected teacher's argmax is the label. A near-tie that falls the other way adds
or drops one position, a jump of perhaps 1 / (open positions) and no rounding error; so the positions that
are open are compared too, step by step, and the smallest lead of any argmax is printed. With the seeds
below no tie is near enough to fall otherwise in f32; other seeds may meet one, which the table then shows.
"""

import argparse
import contextlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import criterion_losses as losses
import criterion_signals as signals
import online_world as world
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2LMHeadModel, LlamaForCausalLM
from transformers.utils import logging

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
PARTS = ("ce", "t2s_ce", "t2s_kd", "s2t_kd", "kd", "total")
CACHES = ("f32", "bf16", "int8")

# 40 batches are an epoch, so that the run goes over the end of one.
EXAMPLES, STEPS, BATCH, WINDOW, SEED = 320, 50, 8, 64, 5
WARMUP, RATE, PROJECTOR_RATE, WEIGHT_DECAY, CLIP = 10, 5e-4, 1e-3, 0.01, 1.0


# Online ----------------------------------------------------------------------------------------


def rate_factor(step, steps=STEPS, warmup=WARMUP):
    """Of all learning rates at a step, counted from 0; as Sources/Distill/LearningRateSchedule.swift."""
    warmup = min(warmup, steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def supervised(model, tokenizer, texts):
    """Final states, inputs and labels of a batch's supervised positions, each example run alone."""
    hidden, inputs, labels, offsets = [], [], [], [0]
    for pair in texts:
        ids, first = world.layout(tokenizer, *pair)
        states = model.base_model(ids[None]).last_hidden_state[0]
        hidden.append(states[first:-1])
        inputs.append(ids[first:-1])
        labels.append(ids[first + 1 :])
        offsets.append(offsets[-1] + len(labels[-1]))
    return {
        "hidden": torch.cat(hidden),
        "input_ids": torch.cat(inputs),
        "labels": torch.cat(labels),
        "offsets": torch.tensor(offsets),
        "head": model.lm_head.weight,
        "embedding": model.get_input_embeddings().weight,
    }


def optimizer(*rated):
    """AdamW over pairs of parameters and their rate: matrices decay and vectors do not."""
    groups = []
    for parameters, rate in rated:
        parameters = list(parameters)
        for dimensions, decay in ((True, WEIGHT_DECAY), (False, 0.0)):
            chosen = [p for p in parameters if (p.ndim > 1) == dimensions]
            groups.append({"params": chosen, "lr": rate, "weight_decay": decay, "highest": rate})
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8)


def exact_norm(parameters):
    """Of all gradients together, summed in float64."""
    return torch.stack([p.grad.double().square().sum() for p in parameters]).sum().sqrt()


def take_step(learnt, loss, factor, is_exact=False):
    """Backward, clipping and AdamW; the gradient's norm before clipping, and PyTorch's own of it."""
    learnt.zero_grad()
    loss.backward()
    everything = [p for group in learnt.param_groups for p in group["params"]]
    # Multiplies by min(1, CLIP / (norm + 1e-6)).
    plain = torch.nn.utils.get_total_norm([p.grad for p in everything])
    norm = exact_norm(everything) if is_exact else plain
    torch.nn.utils.clip_grads_with_norm_(everything, CLIP, norm)
    for group in learnt.param_groups:
        group["lr"] = group["highest"] * factor
    learnt.step()
    return norm.item(), plain.item()


def online(folder, batches, dtype):
    """A dictionary a step: its losses, `gate` (open positions) and `lead`, the smallest of an argmax."""
    teacher = LlamaForCausalLM.from_pretrained(folder / "teacher", dtype=torch.float32).to(dtype).eval()
    student = GPT2LMHeadModel.from_pretrained(folder / "student", dtype=torch.float32).to(dtype)
    tokenizers = [AutoTokenizer.from_pretrained(folder / side) for side in ("teacher", "student")]
    stored = load_file(folder / "projectors.safetensors")
    projectors = {
        f"projectors/{name.replace('.', '/')}": value.to(dtype).requires_grad_()
        for name, value in stored.items()
    }
    learnt = optimizer((student.parameters(), RATE), (projectors.values(), PROJECTOR_RATE))
    settings, curve = signals.Settings(), []
    for step, texts in enumerate(batches):
        with torch.no_grad():
            of_teacher = supervised(teacher, tokenizers[0], texts)
        of_student = supervised(student, tokenizers[1], texts)
        t = {f"teacher/{key}": value for key, value in of_teacher.items()}
        t |= {f"student/{key}": value for key, value in of_student.items()} | projectors
        signals.margins = []
        found, info = losses.losses_of("dskd_cma", t, settings)
        lead = min(gap for kind, gap in signals.margins if kind == "argmax")
        signals.margins = None
        take_step(learnt, found["total"], rate_factor(step))
        row = {part: found[part].item() for part in PARTS}
        row |= {"positions": len(of_student["labels"]), "gate": int(info["info/gate"].sum())}
        curve.append(row | {"lead": lead})
    return curve


# Offline ---------------------------------------------------------------------------------------


def retort(command, *words, **settings):
    given = [f"--set={key.replace('__', '.')}={value}" for key, value in settings.items()]
    done = subprocess.run([command, *words, *given], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, done.args))}\n{done.stdout}{done.stderr}")


def extract(command, folder, hidden_type):
    """The cache's directory."""
    cache = folder / f"cache-{hidden_type}"
    retort(
        command, "extract", teacher=folder / "teacher", data=folder / "texts.jsonl", output=cache,
        template="alpaca", hidden_dtype=hidden_type, logits="[exact]", compute="f32",
        max_length=world.MAX_LENGTH, max_prompt_length=world.MAX_PROMPT_LENGTH,
    )  # fmt: skip
    return cache


def offline(command, folder, cache):
    """A dictionary a step, as `online` gives, from the run's metrics.jsonl."""
    output = folder / f"run-{cache.name}"
    retort(
        command, "distill", cache=cache, output=output, student__from=folder / "student",
        projectors_from=folder / "projectors.safetensors", criterion="dskd_cma", compute="f32",
        steps=STEPS, batch_examples=BATCH, shuffle_window=WINDOW, seed=SEED, warmup_steps=WARMUP,
        learning_rate=RATE, projector_learning_rate=PROJECTOR_RATE, weight_decay=WEIGHT_DECAY,
        clip=CLIP, schedule="cosine", max_length=world.MAX_LENGTH,
        max_prompt_length=world.MAX_PROMPT_LENGTH, checkpoint_every=0,
    )  # fmt: skip
    curve = []
    for line in (output / "metrics.jsonl").read_text().splitlines():
        metrics = json.loads(line)
        assert metrics["dropped"] == 0 and metrics["gradient_norm"] is not None, line
        row = {part: metrics["losses"][part] for part in PARTS}
        curve.append(row | {"gate_share": metrics["losses"]["t2s_gate"]})
    return curve


# Comparison ------------------------------------------------------------------------------------


def relative(got, want):
    """Infinite where the loss should be 0 and is not: no position is open and one should be, or the reverse."""
    if got == want:
        return 0.0
    return abs(got - want) / abs(want) if want else math.inf


def distances(got, want):
    """Of each part, the largest relative difference and its step, counted from 1."""
    found = {}
    for part in PARTS:
        steps = [relative(a[part], b[part]) for a, b in zip(got, want, strict=True)]
        largest = max(steps)
        found[part] = {"relative": largest, "step": steps.index(largest) + 1}
    return found


def turned(got, want):
    """Steps, from 1, where other positions are open."""
    open_ones = [
        row["gate"] if "gate" in row else round(row["gate_share"] * there["positions"])
        for row, there in zip(got, want, strict=True)
    ]
    return [i + 1 for i, (a, b) in enumerate(zip(open_ones, want)) if a != b["gate"]]


def report(curves):
    online_curve = curves["online float32"]
    print(f"\n{'step':>4} {'open':>9}  " + "  ".join(f"{part:>9}" for part in PARTS))
    for step in sorted({1, STEPS, *range(10, STEPS, 10)}):
        row = online_curve[step - 1]
        share = f"{row['gate']}/{row['positions']}"
        print(f"{step:4} {share:>9}  " + "  ".join(f"{row[part]:9.5f}" for part in PARTS))
    print("\nlargest relative difference from online float32, over all steps")
    print(f"{'':15}" + "  ".join(f"{part:>9}" for part in PARTS) + "  open positions differ in")
    summary = {}
    for name, curve in curves.items():
        if curve is online_curve:
            continue
        found, steps = distances(curve, online_curve), turned(curve, online_curve)
        numbers = "  ".join(f"{found[part]['relative']:9.1e}" for part in PARTS)
        where = f"{len(steps)} steps: {', '.join(map(str, steps[:5]))}" if steps else "no step"
        print(f"{name:15}{numbers}  {where}{', ...' if len(steps) > 5 else ''}")
        summary[name] = {"largest": found, "other_positions_open": steps}
    leads = [row["lead"] for row in online_curve]
    print(f"\nsmallest lead of an argmax: {min(leads):.1e} (step {leads.index(min(leads)) + 1})")
    return summary


def run(folder, command):
    """All curves by name, from models to losses."""
    texts = world.read_texts(ROOT / "data/instructions.jsonl")
    for side, make, seed in (("teacher", world.make_teacher, 1), ("student", world.make_student, 2)):
        loss = make(texts, folder / side, seed)
        print(f"{side}: loss {loss:.2f} after {world.TRAINING_STEPS} steps of training")
    world.make_projectors(folder / "projectors.safetensors", seed=3)
    texts = texts[:EXAMPLES]
    world.write_texts(texts, folder / "texts.jsonl")
    batches = [
        [texts[i] for i in numbers]
        for numbers in world.step_batches([EXAMPLES], STEPS, BATCH, SEED, WINDOW)
    ]
    curves = {}
    for dtype in (torch.float32, torch.float64):
        name = f"online {str(dtype).removeprefix('torch.')}"
        curves[name] = online(folder, batches, dtype)
        print(f"{name}: {STEPS} steps")
    for hidden_type in CACHES:
        cache = extract(command, folder, hidden_type)
        assert world.cached_texts(cache) == [texts], f"{cache} holds other texts, or in another order"
        curves[f"cache {hidden_type}"] = offline(command, folder, cache)
        print(f"cache {hidden_type}: {STEPS} steps")
    return curves


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--retort", default=ROOT / ".build/release/retort", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file for both curves")
    parser.add_argument("--keep", type=pathlib.Path, help="a new directory for models, caches and runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every machine
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.keep:
        arguments.keep.mkdir(parents=True)
        place = contextlib.nullcontext(arguments.keep)
    else:
        place = tempfile.TemporaryDirectory(prefix="retort-online-")
    with place as folder:
        curves = run(pathlib.Path(folder), arguments.retort.resolve())
    summary = report(curves)
    if arguments.output:
        content = {"parts": PARTS, "tolerance": TOLERANCE, "summary": summary, "curves": curves}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    largest = max(found["relative"] for found in summary["cache f32"]["largest"].values())
    holds = largest <= TOLERANCE
    word = "within" if holds else "BEYOND"
    print(f"offline from the f32 cache: {largest:.1e} at most, {word} {TOLERANCE:.0e}")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()

"""Loads an exported student with transformers and compares its logits with Retort's own.

    python reference/student_parity.py RUN/student [--limit 1e-3]

RUN/student/parity.safetensors holds `tokens` int64 [n] and `logits` f32 [n, V], one sequence; with
`offsets` int64 [E + 1] several, end to end. Prints the largest absolute difference; exit code 1
when it reaches the limit, relative to the largest logit (at least 1).
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", type=pathlib.Path)
    parser.add_argument("--limit", type=float, default=1e-3)
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.student)
    model = AutoModelForCausalLM.from_pretrained(
        args.student, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    stored = load_file(args.student / "parity.safetensors")
    tokens, wanted = stored["tokens"].flatten(), stored["logits"].flatten(0, -2)
    offsets = stored.get("offsets", torch.tensor([0, len(tokens)])).tolist()
    with torch.inference_mode():
        pieces = [model(tokens[a:b][None]).logits[0] for a, b in zip(offsets, offsets[1:])]
    found = torch.cat(pieces)

    text = tokenizer.decode(tokens[: offsets[1]])
    print(f"{type(model).__name__}, {model.num_parameters():,} parameters, {len(tokenizer)} tokens")
    print(f"first sequence: {text[:100]!r}")
    if found.shape != wanted.shape:
        print(f"parity: FAILED: logits {list(found.shape)} here, {list(wanted.shape)} stored")
        return 1
    difference = (found - wanted).abs().max().item()
    agreement = (found.argmax(-1) == wanted.argmax(-1)).double().mean().item()
    print(f"logits: max difference {difference:.3e}, same argmax at {agreement:.1%}")
    # Written so that NaN fails too.
    equal = difference < args.limit * max(1.0, wanted.abs().max().item())
    print("parity: equal within the limit" if equal else "parity: FAILED")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())

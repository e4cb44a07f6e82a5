#!/usr/bin/env python3
"""Real weights against transformers, which reads the same GGUF file: token ids and f32 logits.

    scripts/fetch-teacher.sh && scripts/fetch-gemma.sh && make build
    python reference/real_models.py models/smollm2-135m-instruct.gguf models/gemma-3-270m-q4_k_m.gguf

Not part of `make test`: it needs the models and Python (reference/requirements.txt). Exit code 1 when
logits differ by more than 1e-4 of the largest or any token id differs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent

# SmolLM2's tokenizer.json cuts digits one by one; transformers does not read tokenizer.ggml.pre.
SPLITS_DIGITS = {"smollm"}


def texts():
    lines = (ROOT / "README.md").read_text().split("\n\n")
    with open(ROOT / "data/instructions.jsonl") as file:
        for line in file:
            record = json.loads(line)
            lines += [record["prompt"], record["response"]]
    lines += [
        "naïve café — “quotes” … 日本語のテキスト, العربية, हिन्दी, 한국어, ไทย",
        "👩‍👩‍👧‍👦🏳️‍🌈 e\u0301\u0302 \u200b\u200d  tabs\t\tand   spaces   \n\n\n  x = [i**2 for i in range(10)]",
    ]
    return lines


def tokenizer_of(path):
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    field = GGUFReader(path).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() in SPLITS_DIGITS:
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer


def check(path, retort):
    tokenizer = tokenizer_of(path)
    lines = texts()
    expected = [tokenizer(line, add_special_tokens=False).input_ids for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        printed = subprocess.run(
            [retort, "tokenize", path, folder / "texts.jsonl", "--json"],
            check=True, capture_output=True, text=True).stdout
        ours = [json.loads(line)["ids"] for line in printed.splitlines()]
        wrong = [i for i, (a, b) in enumerate(zip(expected, ours)) if a != b]
        print(f"{path.name}: {len(lines)} texts, {sum(map(len, expected))} tokens, "
              f"{len(wrong)} texts with other ids")
        for index in wrong[:3]:
            print("  ", repr(lines[index][:80]), expected[index][:12], ours[index][:12])

        # Short and long: the last is longer than Gemma 3's window of 512.
        lists = [e for e in expected if 4 <= len(e) <= 200][:6]
        joined = [token for e in expected[:60] for token in e]
        lists.append(joined[:700])
        bos = tokenizer.bos_token_id
        if bos is not None:
            lists = [[bos] + tokens for tokens in lists]
        (folder / "tokens.json").write_text(json.dumps(lists))
        subprocess.run(
            [retort, "model", "logits", path, "--tokens", folder / "tokens.json", "--output",
             folder / "logits.h5"], check=True)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager")
        worst = worst_kl = 0.0
        agree = rows = 0
        with h5py.File(folder / "logits.h5") as file, torch.inference_mode():
            offsets = file["offsets"][:]
            for index, tokens in enumerate(lists):
                theirs = model(torch.tensor([tokens])).logits[0].double()
                mine = torch.from_numpy(
                    file["logits"][offsets[index]:offsets[index + 1]]).double()
                worst = max(worst, float((mine - theirs).abs().max() / theirs.abs().max()))
                p, q = theirs.log_softmax(-1), mine.log_softmax(-1)
                worst_kl = max(worst_kl, float((p.exp() * (p - q)).sum(-1).max()))
                agree += int((mine.argmax(-1) == theirs.argmax(-1)).sum())
                rows += len(tokens)
    print(f"{path.name}: {rows} rows, largest difference {worst:.2e} of the largest logit, "
          f"KL at most {worst_kl:.2e}, same most likely token in {agree} of {rows}")
    return not wrong and worst < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--retort", default=ROOT / ".build/release/retort")
    arguments = parser.parse_args()
    if not all([check(path, arguments.retort) for path in arguments.models]):
        sys.exit(1)


if __name__ == "__main__":
    main()

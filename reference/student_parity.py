"""Holds an exported student against transformers: the held-out loss that `retort eval` reported.

    python reference/student_parity.py RUN_DIR

For every model of RUN_DIR/eval.json but the teacher, RUN_DIR/NAME/student is loaded with AutoModelForCausalLM
and AutoTokenizer; the prompts and responses of the held-out split are read from the cache's shards, laid out
as METHOD.md says, and scored one by one. Exits 1 when the mean loss a token differs by 1e-4 or more, or when
the number of tokens does.
"""

import json
import pathlib
import sys

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def examples(cache, split):
    """(prompt, response) of every record of a split."""
    for path in sorted((cache / "shards").glob("*.h5")):
        with h5py.File(path, "r") as shard:
            header = shard.attrs["retort"]
            names = json.loads(header if isinstance(header, str) else header.decode())["splits"]
            offsets = shard["text/offsets"][:].astype(int).reshape(-1)
            for i, number in enumerate(shard["split"][:]):
                if names[int(number)] == split:
                    a, b, c, d = offsets[3 * i : 3 * i + 4]
                    text = shard["text/bytes"]
                    yield text[a:b].tobytes().decode(), text[c:d].tobytes().decode()


def held_out_loss(student, cache, split, limits):
    tokenizer = AutoTokenizer.from_pretrained(student)
    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    longest = min(limits["maxLength"], model.config.max_position_embeddings)
    loss, count = 0.0, 0
    with torch.no_grad():
        for prompt, response in examples(cache, split):
            ids = tokenizer(PROMPT.format(prompt=prompt), add_special_tokens=False).input_ids
            ids = ids[: limits["maxPromptLength"]]
            start = len(ids)
            ids = ids + tokenizer(response, add_special_tokens=False).input_ids
            ids = (ids + [tokenizer.eos_token_id])[:longest]
            tensor = torch.tensor([ids])
            logits = model(tensor).logits[0, start - 1 : -1]
            loss += torch.nn.functional.cross_entropy(logits, tensor[0, start:], reduction="sum").item()
            count += len(ids) - start
    return loss / count, count


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = pathlib.Path(sys.argv[1])
    with open(run / "eval.json", encoding="utf-8") as file:
        reports = json.load(file)["reports"]
    with open(run / "cache/manifest.json", encoding="utf-8") as file:
        limits = json.load(file)["description"]
    failed = False
    for report in reports[1:]:
        loss, count = held_out_loss(
            run / report["name"] / "student", run / "cache", report["split"], limits
        )
        difference = abs(loss - report["cross_entropy"])
        good = difference < 1e-4 and count == report["tokens"]
        failed |= not good
        print(
            f"{report['name']}: transformers {loss:.6f} over {count} tokens, retort "
            f"{report['cross_entropy']:.6f} over {report['tokens']}: {'equal' if good else 'DIFFERENT'}"
        )
    sys.exit(1 if failed else 0)


main()

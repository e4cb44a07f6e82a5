"""Holds a cache that `retort extract` made against transformers, run on the same GGUF file.

    python reference/gguf_parity.py CACHE_DIR TEACHER.gguf [--records N] [--logits FILE.h5]
    python reference/gguf_parity.py CACHE_DIR TEACHER.gguf [--records N] --write-tokens FILE.json

Reads the first N records with h5py and hdf5plugin, runs each token sequence by itself in f32 and
prints how far hidden states, top-k log-probabilities and log-partitions are apart, and whether the
token ids are those of transformers' tokenizer. Exit code 1 when a row's relative error reaches
1e-2, when ids or supervised ranges differ, or when the cache has no records; 0 otherwise.

--logits FILE.h5 is what `retort model logits` made of the same records' tokens, which --write-tokens
writes and stops: unrounded values of all positions, which must be within 1e-3.
"""

import argparse
import json
import pathlib
import sys

import gguf
import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

PROMPT = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
STORED_LIMIT = 1e-2
UNROUNDED_LIMIT = 1e-3


def records(cache, count):
    """The first `count` records of the shards in the order of their names."""
    for path in sorted((cache / "shards").glob("*.h5")):
        with h5py.File(path, "r") as shard:
            token_offsets = shard["token_offsets"][:].astype(int)
            row_offsets = shard["row_offsets"][:].astype(int)
            text_offsets = shard["text/offsets"][:].astype(int).reshape(-1)
            ranges = shard["supervised"][:].astype(int).reshape(-1, 2)
            for i in range(len(token_offsets) - 1):
                if count == 0:
                    return
                count -= 1
                tokens = slice(token_offsets[i], token_offsets[i + 1])
                rows = slice(row_offsets[i], row_offsets[i + 1])
                # Prompt, input (empty here) and response end to end.
                a, b, c, d = text_offsets[3 * i : 3 * i + 4]
                record = {
                    "name": f"{path.name}[{i}]",
                    "tokens": shard["token_ids"][tokens].astype(numpy.int64),
                    "range": tuple(ranges[i].tolist()),
                    "prompt": shard["text/bytes"][a:b].tobytes().decode(),
                    "response": shard["text/bytes"][c:d].tobytes().decode(),
                    "hidden": shard["hidden/final"][rows].astype(numpy.float32),
                }
                for name in ("topk_ids", "topk_logprobs", "log_partition"):
                    if f"logits/{name}" in shard:
                        record[name] = shard[f"logits/{name}"][rows]
                yield record


def relative_errors(found, wanted):
    """||a - b|| / ||b|| of each row, in float64."""
    a, b = torch.as_tensor(found).double(), wanted.double()
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).tolist()


def load_tokenizer(path):
    """The tokenizer of a GGUF file, with the pre-tokenizer that the file names.

    transformers 5.23 gives every byte-level BPE of a GGUF file GPT-2's splitting, whatever
    `tokenizer.ggml.pre` says. SmolLM cuts out each digit first, as its own tokenizer.json does;
    without that, "a  1" (two spaces) has other ids.
    """
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    field = gguf.GGUFReader(path).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    return tokenizer


class Findings:
    """Numbers by what they measure, and what is plainly wrong."""

    def __init__(self):
        self.values, self.faults = {}, []

    def add(self, name, values):
        self.values.setdefault(name, []).extend(values)

    def fault(self, record, message):
        self.faults.append(f"{record['name']}: {message}")

    def report(self):
        for name, values in self.values.items():
            print(f"{name}: max {max(values):.3e}, mean {sum(values) / len(values):.3e}")
        for fault in self.faults[:10]:
            print(fault)
        if len(self.faults) > 10:
            print(f"... and {len(self.faults) - 10} more")

    def check_below(self, name, limit):
        # Written so that NaN fails too.
        if not all(value < limit for value in self.values.get(name, [])):
            self.faults.append(f"{name} reaches {limit:g}")


def check_ids(record, tokenizer, limits, findings):
    """Token ids and the supervised range against the tokenizer's own for the same text."""
    max_prompt, max_length = limits
    prompt = tokenizer.encode(PROMPT.format(prompt=record["prompt"]), add_special_tokens=False)
    response = tokenizer.encode(record["response"], add_special_tokens=False)
    prompt = prompt[:max_prompt]
    wanted = [*prompt, *response, tokenizer.eos_token_id][:max_length]
    found = record["tokens"].tolist()
    if found != wanted:
        pairs = list(zip(found, wanted))
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
        findings.fault(
            record,
            f"ids differ from position {first}: {found[first : first + 5]} in the cache, "
            f"{wanted[first : first + 5]} by transformers",
        )
    # Position i predicts token i + 1: the first supervised one is the prompt's last.
    if record["range"] != (len(prompt) - 1, len(wanted) - 1):
        findings.fault(
            record,
            f"supervised {record['range']}, expected {(len(prompt) - 1, len(wanted) - 1)}",
        )


def check_numbers(record, model, findings):
    """Hidden states and logits of the supervised rows against the model's."""
    tokens = torch.as_tensor(record["tokens"])[None]
    hidden = model.model(tokens).last_hidden_state[0]
    start, end = record["range"]
    hidden = hidden[start:end]
    if len(hidden) != len(record["hidden"]):
        findings.fault(record, f"{len(record['hidden'])} rows for {len(hidden)} positions")
        return
    findings.add("hidden relative error", relative_errors(record["hidden"], hidden))
    if "topk_ids" not in record:
        return
    logits = model.lm_head(hidden).double()
    partition = logits.logsumexp(-1)
    ids = torch.as_tensor(record["topk_ids"].astype(numpy.int64))
    wrong = (ids[:, 0] != logits.argmax(-1)).double()
    findings.add("top-1 disagreement", wrong.tolist())
    if "log_partition" in record:
        stored = torch.as_tensor(record["log_partition"].astype(numpy.float64))
        findings.add("log-partition error", (stored - partition).abs().tolist())
    if "topk_logprobs" in record:
        stored = torch.as_tensor(record["topk_logprobs"].astype(numpy.float64))
        wanted = logits.gather(-1, ids) - partition[:, None]
        findings.add("log-prob error", (stored - wanted).abs().amax(-1).tolist())


def check_unrounded(path, sequences, model, findings):
    """What `retort model logits` made of the records' tokens, list by list."""
    with h5py.File(path, "r") as stored:
        offsets = stored["offsets"][:].tolist()
        if numpy.diff(offsets).tolist() != [len(tokens) for tokens in sequences]:
            findings.faults.append(f"{path}: not of these records' tokens")
            return
        for tokens, start, end in zip(sequences, offsets, offsets[1:]):
            hidden = model.model(torch.as_tensor(tokens)[None]).last_hidden_state[0]
            errors = relative_errors(stored["hidden/final"][start:end], hidden)
            findings.add("unrounded hidden relative error", errors)
            errors = relative_errors(stored["logits"][start:end], model.lm_head(hidden))
            findings.add("unrounded logits relative error", errors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("teacher", type=pathlib.Path)
    parser.add_argument("--records", type=int, default=32)
    parser.add_argument("--logits", type=pathlib.Path)
    parser.add_argument("--write-tokens", type=pathlib.Path)
    parser.add_argument("--max-prompt-length", type=int, default=256)
    parser.add_argument("--max-length", type=int, default=512)
    args = parser.parse_args()

    if args.write_tokens:
        lists = [record["tokens"].tolist() for record in records(args.cache, args.records)]
        args.write_tokens.write_text(json.dumps(lists) + "\n")
        return 0
    logging.disable_progress_bar()
    tokenizer = load_tokenizer(args.teacher)
    model = AutoModelForCausalLM.from_pretrained(
        args.teacher.parent,
        gguf_file=args.teacher.name,
        dtype=torch.float32,
        attn_implementation="eager",
    ).eval()

    findings, sequences, rows = Findings(), [], 0
    with torch.inference_mode():
        for record in records(args.cache, args.records):
            check_ids(record, tokenizer, (args.max_prompt_length, args.max_length), findings)
            check_numbers(record, model, findings)
            sequences.append(record["tokens"])
            rows += len(record["hidden"])
        if args.logits:
            check_unrounded(args.logits, sequences, model, findings)
    if not sequences:
        findings.faults.append(f"{args.cache}: no records in shards/*.h5")
    findings.check_below("hidden relative error", STORED_LIMIT)
    findings.check_below("unrounded hidden relative error", UNROUNDED_LIMIT)
    findings.check_below("unrounded logits relative error", UNROUNDED_LIMIT)
    print(f"{len(sequences)} records, {rows} rows")
    findings.report()
    print("parity: FAILED" if findings.faults else "parity: equal within the limits")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())

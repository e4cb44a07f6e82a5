#!/usr/bin/env python3
"""Extraction by Retort against PyTorch + transformers: same model, tokens and precision, in turns.

    python benchmarks/extract.py                    every case
    python benchmarks/extract.py --cases llama-135m-512 --compute bf16 --rounds 5

Each side is a process of its own that loads the model once and is then asked, in turns, to run all
tokens to final hidden states (no head). Printed: tokens a second (the median of the rounds), the
share of the better of both libraries' best matrix products in the same run, the ratio of the two sides round by round
(its median), and the peak resident memory of each process.

Sequences of 512 tokens go through PyTorch four at a time without padding; instruction data of mixed
length goes through it in padded batches of 8 in the file's order, as batch loops do. Their lengths
are those of data/instructions.jsonl, a token counted for every four characters.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = ROOT / ".build/release/benchmarks"


def make_model(kind, directory):
    """A random model of a published shape, saved as transformers does."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(1)
    if kind == "llama-135m":
        config = LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
            num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048,
            rope_theta=100000.0, tie_word_embeddings=True, rms_norm_eps=1e-5)
        model = LlamaForCausalLM(config)
    else:
        config = Qwen2Config(
            vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
            num_attention_heads=14, num_key_value_heads=2, max_position_embeddings=2048,
            rope_theta=1000000.0, tie_word_embeddings=True, rms_norm_eps=1e-6)
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(directory)
    blocks = sum(p.numel() for n, p in model.named_parameters() if ".layers." in n and p.dim() == 2)
    return blocks, config


def make_tokens(kind, case, path):
    import random

    random.seed(2)
    if case == "512":
        lengths = [512] * (16 if kind == "llama-135m" else 8)
    else:
        lengths = []
        for line in open(ROOT / "data/instructions.jsonl"):
            record = json.loads(line)
            lengths.append(min(512, max(8, (len(record["prompt"]) + len(record["response"])) // 4)))
        random.shuffle(lengths)
        lengths = lengths[:96]
    tokens = [[random.randrange(49000) for _ in range(n)] for n in lengths]
    json.dump(tokens, open(path, "w"))
    return lengths


def operations(blocks, config, lengths):
    """Products with weights, and the scores and sums of causal attention, counted once."""
    size = config.hidden_size // config.num_attention_heads
    attention = sum(
        4 * config.num_attention_heads * size * n * (n + 1) / 2 for n in lengths
    ) * config.num_hidden_layers
    return 2 * blocks * sum(lengths) + attention


def serve_torch(model, tokens, compute, padded):
    """The PyTorch side: prints a JSON line for every line read."""
    import torch
    from transformers import AutoModel

    torch.set_num_threads(int(os.environ.get("RETORT_THREADS", os.cpu_count())))
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute]
    net = AutoModel.from_pretrained(model, dtype=dtype, attn_implementation="sdpa").eval()
    lists = json.load(open(tokens))
    size = 8 if padded else 4
    batches = []
    for start in range(0, len(lists), size):
        part = lists[start:start + size]
        longest = max(map(len, part))
        ids = torch.zeros(len(part), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(part):
            ids[row, :len(sequence)] = torch.tensor(sequence)
            mask[row, :len(sequence)] = 1
        batches.append((ids, mask if padded else None))
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.inference_mode():
            for ids, mask in batches:
                net(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "peak": peak_bytes()}), flush=True)


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def measured_peak(compute):
    """The best product of 2,048 cubed that PyTorch does here, operations a second."""
    import torch

    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[compute]
    a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * 2048 ** 3 / (time.perf_counter() - start))
    return best


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("one side ended early")
        return json.loads(line)

    def run(self):
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="llama-135m-512,qwen2-0.5b-512,llama-135m-mixed")
    parser.add_argument("--compute", default="f32,bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        model, tokens, compute, padded = arguments.serve
        return serve_torch(model, tokens, compute, padded == "1")
    if not COMMAND.exists():
        sys.exit(f"{COMMAND} is not there; run `swift build -c release --product benchmarks`")
    print(f"{'case':<18} {'':<5} {'retort':>9} {'pytorch':>9} {'ratio':>6}"
          f" {'share of peak':>15} {'peak memory':>17}")
    for case in arguments.cases.split(","):
        kind, data = case.rsplit("-", 1)
        with tempfile.TemporaryDirectory() as folder:
            blocks, config = make_model(kind, folder)
            tokens = folder + "/tokens.json"
            lengths = make_tokens(kind, data, tokens)
            work = operations(blocks, config, lengths)
            for compute in arguments.compute.split(","):
                peak = measured_peak(compute)
                retort = Side([str(COMMAND), "extract", folder, tokens, compute])
                peak = max(peak, retort.ready["best"])
                torch_side = Side([
                    sys.executable, __file__, "--serve", folder, tokens, compute,
                    str(int(data == "mixed"))])
                retort.run(), torch_side.run()  # both warm
                ours, theirs = [], []
                for _ in range(arguments.rounds):
                    ours.append(retort.run())
                    theirs.append(torch_side.run())
                ratio = statistics.median(
                    b["seconds"] / a["seconds"] for a, b in zip(ours, theirs))
                a = statistics.median(r["seconds"] for r in ours)
                b = statistics.median(r["seconds"] for r in theirs)
                n = sum(lengths)
                print(f"{case:<18} {compute:<5} {n / a:>5.0f} t/s {n / b:>5.0f} t/s {ratio:>5.2f}x"
                      f" {work / a / peak:>6.0%} {work / b / peak:>7.0%}"
                      f" {ours[-1]['peak'] / 2**20:>6.0f} {theirs[-1]['peak'] / 2**20:>6.0f} MiB",
                      flush=True)
                retort.close(), torch_side.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Training steps against PyTorch and transformers, eager and compiled: same precision, in turns.

    swift build -c release --product benchmarks
    python benchmarks/train.py               everything, an hour or so, 12 GB of memory
    python benchmarks/train.py --quick       the 30M model in bf16, two rounds
    python benchmarks/train.py --shapes gpt2-124m --compute bf16 --lengths equal --json numbers.json

Each side is a process of its own with a model of random weights: Retort (benchmarks/Train.swift) and PyTorch
(benchmarks/train_sides.py, which says what it does). All take two steps to warm up, then steps in turns. A
step is forward, backward, clipping and AdamW, with the cross-entropy of every position but the last of each
sequence. `equal` is 4 sequences of 512 tokens. `mixed` is the first 32 examples of data/instructions.jsonl by
length: PyTorch pads them in micro-batches of 8, Retort lays them end to end. Retort runs over 512 tokens
at a time (`--pass-tokens`), as its setting `pass_tokens` does; PyTorch's batches are as they are.

Printed: tokens a second (padding is no token) of each side's best step; ratios are medians of the ratios
round by round; memory is the largest resident memory of the whole process, model and optimiser included.
`share` is the useful products' rate as a share of the machine's peak (--peak): 6 operations a weight and
token, head included, and 6 x layers x width x the sum of squared lengths for causal attention.
"""

import argparse
import json
import statistics
import sys

from criteria import COMMAND, HERE, Side, parse

# Layers, width of attention, numbers in matrices, the head's among them.
SHAPES = {
    "gpt2-124m": (12, 768, 12 * 12 * 768**2 + 50257 * 768),
    "gpt2-30m": (6, 384, 6 * 12 * 384**2 + 50257 * 384),
    "smollm2-135m": (30, 576, 30 * (576 * (576 * 2 + 192 * 2) + 3 * 576 * 1536) + 49152 * 576),
}
# The first 32 examples of data/instructions.jsonl: words of prompt and response x 1.35 + 10.
MIXED = [
    50, 111, 38, 81, 105, 142, 59, 46, 38, 37, 126, 120, 86, 86, 135, 47, 116, 39, 80, 64, 61, 34, 108, 88, 172, 104,
    64, 47, 37, 51, 47, 43]
LENGTHS = {"equal": [512] * 4, "mixed": MIXED}


def micro_batch(lengths, limit):
    """Sequences of a pass: as many as have at most `limit` tokens, whichever they are."""
    return max(1, limit // max(lengths)) if len(set(lengths)) == 1 else max(
        1, int(limit // statistics.mean(lengths)))


def measure(arguments, shape, compute, kind):
    lengths = LENGTHS[kind]
    request = {"shape": shape, "compute": compute, "lengths": lengths}
    ours = request | {"micro_batch": micro_batch(lengths, arguments.pass_tokens)}
    sides = {"retort": Side([str(COMMAND), "train", json.dumps(ours)])}
    for name in arguments.sides.split(","):
        sides[name] = Side(
            [sys.executable, str(HERE / "train_sides.py"), name, json.dumps(request)])
    lost = set()
    # Two steps to warm up: `seconds` leaves out one, and below another is.
    for _ in range(arguments.rounds + 2):
        for name, side in sides.items():
            if name not in lost and not side.ask():
                lost.add(name)
    for side in sides.values():
        side.close()
    layers, width, weights = SHAPES[shape]
    tokens = sum(lengths)
    work = 6 * weights * tokens + 6 * layers * width * sum(n * n for n in lengths)
    result = {**request, "kind": kind, "gflop": work / 1e9, "sides": {}}
    for name, side in sides.items():
        times = side.seconds()[1:]
        if name in lost or not times:
            continue
        mine = sides["retort"].seconds()[1:]
        result["sides"][name] = {
            "seconds": min(times), "rounds": times, "tokens_per_second": tokens / min(times),
            "ratio": statistics.median(theirs / own for own, theirs in zip(mine, times)),
            "peak_mib": side.answers[-1]["peak_mib"],
            "share": work / min(times) / 1e9 / arguments.peak[compute],
            "losses": [answer["loss"] for answer in side.answers]}
    return result


def row(result):
    sides = result["sides"]
    ours = sides["retort"]

    def speed(name):
        side = sides.get(name)
        return f"{side['tokens_per_second']:,.0f} ({side['ratio']:.2f}x)" if side else "-"

    def memory(name):
        side = sides.get(name)
        if not side:
            return "-"
        return f"{side['peak_mib']:,.0f} ({ours['peak_mib'] / side['peak_mib']:.2f})"

    cells = [
        result["shape"], result["kind"], result["compute"], f"{ours['tokens_per_second']:,.0f}",
        f"{ours['share']:.0%}", *map(speed, ("eager", "compile")), f"{ours['peak_mib']:,.0f}",
        *map(memory, ("eager", "compile"))]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--lengths", default="equal,mixed")
    parser.add_argument("--sides", default="eager,compile")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pass-tokens", type=int, default=512)
    arguments = parse(parser)
    if arguments.quick:
        arguments.shapes, arguments.compute, arguments.rounds = "gpt2-30m", "bf16", 2
    results = []
    print(
        "| model | lengths | compute | Retort tokens/s | of peak | eager | compiled"
        " | Retort MiB | eager MiB | compiled MiB |")
    print("|---|---|---|" + "---:|" * 7, flush=True)
    for shape in arguments.shapes.split(","):
        for kind in arguments.lengths.split(","):
            for compute in arguments.compute.split(","):
                result = measure(arguments, shape, compute, kind)
                if "retort" not in result["sides"]:
                    print(f"{shape} {compute}: Retort's side ended early", flush=True)
                    continue
                results.append(result)
                print(row(result), flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

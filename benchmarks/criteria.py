#!/usr/bin/env python3
"""Forward and backward of each criterion against PyTorch, eager and compiled: same precision, in turns.

    swift build -c release --product benchmarks
    python benchmarks/criteria.py            everything, an hour or more, 20 GB of memory
    python benchmarks/criteria.py --quick    sft and dskd_cma at the smaller size, one round
    python benchmarks/criteria.py --criteria dskd_cma --compute bf16 --rounds 5 --json numbers.json

Each side is a process of its own with random tensors of n = m = 2,048 rows in 16 examples: Retort
(benchmarks/Criteria.swift), PyTorch eager, torch.compile of the same function, and for `sft` also
`torch.nn.functional.linear_cross_entropy` in chunks (benchmarks/criteria_sides.py, which says what
is computed in which precision). All are asked once to warm up, then in turns.

Printed: the best seconds of each side; ratios are medians of the ratios round by round. Time runs
from the inputs to all gradients, and in Retort's bf16 includes packing the student's head, as after
every optimiser step. `extra` is the peak of resident memory beyond what there was once the inputs
and the room of the parameters' gradients existed (hidden states, both heads, the embedding, .grad):
logits, autograd's graph, temporary gradients, and in Retort the packed copies of both heads. For
PyTorch it is the median of the calls after the first one, for Retort the largest of all calls.

`share` is the rate of the useful products - those that the mathematics needs, each counted once -
as a share of the machine's peak (--peak, GFLOP/s in f32 and bf16), and in parentheses as a share of the best plain
product of 2,048 cubed that either library did in the same run. Kernels over rows, recomputed
attention and padding are not useful products, but their time counts.

`dskd`, `dskd_v2`, `kd` and `hidden_*` need one vocabulary: V_t is V_s there. `kd_topk` is `kd` from a stored top-64
with a ghost. In `dskd_v2_eta` and `min_edit` all positions are aligned and the map is made beforehand. t2s_kd counts at half of
the positions of `dskd_cma` in Retort, which leaves the others out; PyTorch computes it everywhere.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
COMMAND = pathlib.Path(
    os.environ.get("RETORT_BENCHMARKS", HERE.parent / ".build/release/benchmarks"))
ROWS, EXAMPLES, WIDTH, VOCABULARY = 2048, 16, 768, 50257
# D and V_t: those of SmolLM2-135M and of Qwen1.5-1.8B.
SIZES = [(576, 49152), (2048, 151936)]
# V_t is V_s; D alone differs.
PAIRED = ("kd", "kd_topk", "dskd", "dskd_v2", "hidden_mse", "hidden_cosine")
CRITERIA = (
    "sft", "kd", "kd_topk", "dskd", "dskd_cma", "dskd_v2", "dskd_v2_eta", "uld", "min_edit",
    "hidden_mse", "hidden_cosine")


def useful_products(criterion, n, m, examples, d, D, V_s, V_t):
    """Operations, a multiplication and an addition each."""
    student, teacher = 2 * n * d * V_s, 2 * m * D * V_t
    t2s, s2t = 2 * m * D * d, 2 * n * d * D
    # logits, d hidden, d head; d of the projected teacher's states; three of the teacher's space.
    dual = 5 * student + 3 * teacher
    # s2t is computed from W_s at every step, and is not learnt.
    v2 = dual + 2 * t2s + 2 * s2t + 2 * min(V_s, V_t) * d * D
    return {
        "sft": 3 * student,
        "kd": 3 * student + teacher,
        "kd_topk": 3 * student,
        "uld": 3 * student + teacher,
        "min_edit": 3 * student + teacher,
        "hidden_mse": 3 * student + 3 * s2t,
        "hidden_cosine": 3 * student + 3 * s2t,
        "dskd": dual + 2 * t2s + 3 * s2t,
        # query projector: forward and weight; attention: scores, z and g, and back five.
        "dskd_cma": dual + 2 * t2s + 3 * s2t + 2 * (2 * n * 2 * d * 2 * D)
        + 2 * n * (m // examples) * (3 * d + 7 * D),
        "dskd_v2": v2,
        "dskd_v2_eta": v2,
    }[criterion]


class Side:
    """A process that answers a line with the numbers of one forward and backward."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers = []
        # What it says once it is ready.
        self.first = self.read() or {}

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self):
        """False when the process is gone, as for want of memory."""
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
            answer = self.read()
        except BrokenPipeError:
            answer = None
        if answer:
            self.answers.append(answer)
        return answer is not None

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()

    def seconds(self):
        return [answer["seconds"] for answer in self.answers[1:]]


def request(criterion, compute, D, V_t):
    numbers = {
        "criterion": criterion.removesuffix("_topk"), "compute": compute, "n": ROWS, "m": ROWS,
        "examples": EXAMPLES, "d": WIDTH, "D": D, "V_s": VOCABULARY,
        "V_t": VOCABULARY if criterion in PAIRED else V_t}
    if criterion.endswith("_topk"):
        numbers["topk"] = 64
    return numbers


def measure(arguments, criterion, compute, D, V_t):
    asked = request(criterion, compute, D, V_t)
    text = json.dumps(asked)
    sides = {"retort": Side([str(COMMAND), "criteria", text])}
    names = [s for s in arguments.sides.split(",") if s != "chunked" or criterion == "sft"]
    for name in names:
        sides[name] = Side([sys.executable, str(HERE / "criteria_sides.py"), name, text])
    lost = {name for name, side in sides.items() if not side.ask()}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            if name not in lost and not side.ask():
                lost.add(name)
    for side in sides.values():
        side.close()
    if "retort" in lost:
        return print(f"{criterion} {compute}: Retort's side ended early", flush=True)
    ours = sides["retort"]
    work = useful_products(
        criterion, *(asked[key] for key in ("n", "m", "examples", "d", "D", "V_s", "V_t")))
    plain = max(side.first.get("plain", 0) for side in sides.values())
    result = {
        **asked, "criterion": criterion, "gflop": work / 1e9,
        "plain": plain / 1e9, "peak": arguments.peak[compute], "sides": {}}
    for name, side in sides.items():
        if name in lost:
            continue
        extra = [answer["extra"] for answer in side.answers]
        best = min(side.seconds())
        result["sides"][name] = {
            "seconds": best,
            "rounds": side.seconds(),
            "ratio": statistics.median(
                theirs / mine for mine, theirs in zip(ours.seconds(), side.seconds())),
            "extra": max(extra) if name == "retort" else statistics.median(extra[1:]),
            "share": work / best / 1e9 / arguments.peak[compute],
            "share_of_plain": work / best / plain,
            "total": side.answers[-1]["total"],
        }
    return result


def row(result):
    sides = result["sides"]
    ours = sides["retort"]

    def seconds(name):
        side = sides.get(name)
        return f"{side['seconds']:.2f} ({side['ratio']:.2f}x)" if side else "-"

    def memory(name):
        side = sides.get(name)
        if not side:
            return "-"
        return f"{side['extra'] / 2**20:,.0f} ({ours['extra'] / side['extra']:.2f})"

    cells = [
        result["criterion"], f"{result['D']}, {result['V_t']:,}", result["compute"],
        f"{ours['seconds']:.2f}", *map(seconds, ("eager", "compile", "chunked")),
        f"{ours['extra'] / 2**20:,.0f}", *map(memory, ("eager", "compile", "chunked")),
        f"{result['gflop']:,.0f}",
        f"{ours['share']:.0%} ({ours['share_of_plain']:.0%})",
        f"{sides['eager']['share']:.0%}" if "eager" in sides else "-"]
    return "| " + " | ".join(cells) + " |"


def peak(text):
    f32, bf16 = map(float, text.split(","))
    return {"f32": f32, "bf16": bf16}


def parse(parser):
    """The arguments, with those that every comparison with PyTorch has."""
    parser.add_argument("--compute", default="f32,bf16")
    parser.add_argument(
        "--peak", type=peak, default=peak("233,467"),
        help="the machine's GFLOP/s in f32 and bf16, default 233,467")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=pathlib.Path, help="write all numbers here")
    arguments = parser.parse_args()
    if not COMMAND.exists():
        sys.exit(f"{COMMAND} is not there; run `swift build -c release --product benchmarks`")
    return arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--criteria", default=",".join(CRITERIA))
    parser.add_argument("--sides", default="eager,compile,chunked")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--sizes", choices=["small", "large", "both"], default="both")
    arguments = parse(parser)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    if arguments.quick:
        arguments.criteria, arguments.sizes, arguments.sides = "sft,dskd_cma", "small", "eager,chunked"
    sizes = {"small": SIZES[:1], "large": SIZES[1:], "both": SIZES}[arguments.sizes]
    results = []
    print(
        "| criterion | D, V_t | compute | retort s | eager s | compile s | chunked s | retort MiB"
        " | eager MiB | compile MiB | chunked MiB | GFLOP | share (of plain) | eager's share |")
    print("|---|---|---|" + "---:|" * 11, flush=True)
    for criterion in arguments.criteria.split(","):
        # Cross-entropy has no teacher.
        for D, V_t in sizes[:1] if criterion == "sft" else sizes:
            for compute in arguments.compute.split(","):
                result = measure(arguments, criterion, compute, D, V_t)
                if not result:
                    continue
                results.append(result)
                print(row(result), flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

"""Holds the figures of `retort cache fidelity --json` against float64 NumPy, without retort.

Usage: retort cache fidelity CACHE --rows 1024 --json > fidelity.json
       python reference/fidelity.py CACHE fidelity.json
The cache is read with h5py. The report must be one without --teacher, of a cache with hidden states in
bf16, f16 or f32 and no logit cap. Exit 1 where a figure differs by more than the tolerance named beside it.
"""

import itertools
import json
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (registers filters 32004 and 32008)
import numpy as np
import torch

root, report = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
softness = float(report["student"].rsplit(" ", 1)[1])
batch_rows, wanted = report["batch_rows"], report["rows"]
with h5py.File(root / "teacher.h5") as file:
    head = file["head"][...].astype(np.float64)
    header = file.attrs["retort"]
    head *= json.loads(header).get("logitScale", 1)
vocabulary, width = head.shape


def rows_of_split():
    """The hidden states of the first rows of the split, in the order of shards and records."""
    parts, left = [], wanted
    manifest = json.loads((root / "manifest.json").read_text())
    for shard in manifest["shards"]:
        with h5py.File(root / shard["file"]["path"]) as file:
            names = json.loads(file.attrs["retort"])["splits"]
            offsets = file["row_offsets"][...].astype(int)
            for record, number in enumerate(file["split"][...]):
                if names[number] == report["split"] and left > 0:
                    start, end = offsets[record], offsets[record + 1]
                    parts.append(file["hidden/final"][start:min(end, start + left)])
                    left -= len(parts[-1])
    return np.concatenate(parts).astype(np.float32)


def int8(x):
    """Channel scales over 2,048 rows and a bf16 scale a row (docs/format.md)."""
    result = np.empty_like(x)
    for start in range(0, len(x), 2048):
        group = x[start:start + 2048]
        channel = np.sqrt((group.astype(np.float64) ** 2).mean(0)).astype(np.float32)
        channel[channel <= 1e-18] = 1
        largest = np.abs(group / channel).max(1).astype(np.float32) / np.float32(127)
        bits = (largest.view(np.uint32) + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)
        scale = bits.view(np.float32)[:, None]
        result[start:start + 2048] = np.clip(np.rint(group / channel / scale), -127, 127) * channel * scale
    return result


def bf16(x):
    return torch.from_numpy(np.ascontiguousarray(x, np.float32)).bfloat16().double().numpy()


def log_softmax(x):
    top = x.max(1, keepdims=True)
    return x - top - np.log(np.exp(x - top).sum(1, keepdims=True))


def coarsened(logs, ids, inside):
    """Log-probabilities of the kept tokens, and the mass of all others."""
    return np.take_along_axis(logs, ids, 1), np.where(inside, 0, np.exp(logs)).sum(1)


def tempered(logs, rest, tau):
    """Probabilities of k + 1 outcomes at a temperature, from those at temperature 1."""
    return np.exp(log_softmax(np.column_stack([logs, np.log(rest)]) / tau))


hidden = rows_of_split()
assert len(hidden) == wanted, f"{len(hidden)} rows, not {wanted}"
quantised = int8(hidden)
ks = [k for k in (16, 64, 256, 1024) if k < vocabulary]
sums, gradients, exact_gradients, tops, noise = {}, {}, {}, {}, {}
head32 = head.astype(np.float32)
# What a cache stores are logits of float32 products, rounded once more. In which order a product is summed is nobody's
# business, and moves figures that hang on the last digits of a few rows (a ghost of 1e-6, rooted at temperature 2): they are
# computed for so many orders.
ORDERS = [np.random.default_rng(i).permutation(width) for i in range(5)]


def add(name, temperature, row, key, value):
    sums.setdefault((name, temperature, key), np.zeros(wanted))[row] = value


def option(name, tau, p, q, s, gap, start, **figures):
    """One option on some rows: q is what the gradient is pulled to."""
    rows = slice(start, start + len(p))
    add(name, tau, rows, "gradient_token", np.linalg.norm(q - p, axis=1) / gap)
    for key, value in figures.items():
        add(name, tau, rows, key, value)
    total = gradients.setdefault((name, tau), np.zeros((-(-wanted // batch_rows), vocabulary)))
    for r in range(len(p)):
        total[(start + r) // batch_rows] += q[r] - p[r]


STEP = 128
for start in range(0, wanted, STEP):
    z = hidden[start:start + STEP].astype(np.float64) @ head.T
    one = log_softmax(z)
    kept = []
    for shuffled in ORDERS:
        z32 = hidden[start:start + STEP, shuffled] @ head32[:, shuffled].T
        top = z32.max(1, keepdims=True)
        sums32 = np.exp(z32 - top, dtype=np.float32).sum(1, keepdims=True, dtype=np.float64)
        # A float32 difference, off by 1e-6 where a logit is 20: all that is left of a probability near 1.
        stored = z32 - (top + np.log(sums32)).astype(np.float32)
        order = np.argsort(-z32, axis=1, kind="stable")[:, :max(ks)]
        kept.append((order, np.take_along_axis(stored, order, 1).astype(np.float16).astype(np.float64)))
    dense = {
        "hidden int8": quantised[start:start + STEP].astype(np.float64) @ head.T,
        "hidden bf16, bf16 head": bf16(hidden[start:start + STEP]) @ bf16(head).T,
        "full logits f16": stored.astype(np.float16).astype(np.float64),
        "full logits bf16": bf16(stored),
    }
    for name, y in dense.items():
        tops[name] = tops.get(name, 0) + int((y.argmax(1) == z.argmax(1)).sum())
    log_r = log_softmax(z / softness)
    for tau in report["temperatures"]:
        log_p, log_s = log_softmax(z / tau), log_softmax(z / tau / softness)
        p, s = np.exp(log_p), np.exp(log_s)
        gap = np.linalg.norm(s - p, axis=1)
        moved = np.abs(np.exp(log_softmax(z32.astype(np.float64) / tau)) - p).sum(1) / 2
        noise[tau] = noise.get(tau, 0) + float(moved.sum()) / wanted
        total = exact_gradients.setdefault(tau, np.zeros((-(-wanted // batch_rows), vocabulary)))
        for r in range(len(p)):
            total[(start + r) // batch_rows] += s[r] - p[r]
        for name, y in dense.items():
            log_q = log_softmax(y / tau)
            q = np.exp(log_q)
            option(name, tau, p, q, s, gap, start, kl=(p * (log_p - log_q)).sum(1),
                   total_variation=np.abs(p - q).sum(1) / 2)
        for k, (number, (order, kept_logs)) in itertools.product(ks, enumerate(kept)):
            ids, logs = order[:, :k], kept_logs[:, :k]
            again = f", order {number}" if number else ""
            mine = np.take_along_axis(p, ids, 1)
            rest = np.maximum(1e-7, 1 - np.exp(logs).sum(1))
            inside = np.zeros(p.shape, bool)
            np.put_along_axis(inside, ids, True, 1)
            weights = np.exp(logs / tau)
            q = np.zeros_like(p)
            np.put_along_axis(q, ids, weights / weights.sum(1, keepdims=True), 1)
            cut = np.take_along_axis(q, ids, 1)
            share = mine / mine.sum(1, keepdims=True)
            option(f"top-{k}, renormalised{again}", tau, p, q, s, gap, start, kept_mass=mine.sum(1),
                   kl_coarse=(share * np.log(share / cut)).sum(1), kl_reverse=(cut * np.log(cut / mine)).sum(1),
                   total_variation=np.abs(p - q).sum(1) / 2)
            # The criterion: k + 1 outcomes at temperature 1 on each side, then tempered.
            cut = tempered(logs, rest, tau)
            exact = tempered(*coarsened(one, ids, inside), tau)
            student = tempered(*coarsened(log_r, ids, inside), tau)
            r = np.where(inside, 0, np.exp(log_r))
            q = s + r * ((cut - student)[:, -1:] / r.sum(1, keepdims=True))
            np.put_along_axis(q, ids, np.take_along_axis(s, ids, 1) + (cut - student)[:, :-1], 1)
            # Over the vocabulary: the mass evenly on the other tokens, then tempered.
            count = vocabulary - k
            spread = np.broadcast_to(np.log(rest / count)[:, None], p.shape).copy()
            np.put_along_axis(spread, ids, logs, 1)
            spread = log_softmax(spread / tau)
            apart = np.abs(mine - np.exp(np.take_along_axis(spread, ids, 1))).sum(1)
            apart += np.abs(np.where(inside, 0, p - np.exp(spread)).sum(1))
            option(f"top-{k}, ghost{again}", tau, p, q, s, gap, start, kept_mass=mine.sum(1), kl=(p * (log_p - spread)).sum(1),
                   kl_coarse=(exact * np.log(exact / cut)).sum(1), total_variation=apart / 2)
    print(f"{min(wanted, start + STEP)} of {wanted} rows", file=sys.stderr)

# Relative, and absolute where a figure is tiny: logits summed in float32, in another order than here, put some
# log-probabilities on the other side of a rounding; a log-probability near 0 (the ghost's mass is 1 less its exponential)
# is off by 1e-6; and the exact distribution itself moves by as much as float32 products move it here (`noise`).
TOLERANCE = {"default": 2e-3, "hidden bf16, bf16 head": 2e-2, "full logits bf16": 2e-2}
ABSOLUTE = {"kl_coarse": 3e-7, "gradient_batch": 1e-5, "gradient_all": 1e-5, "gradient_token": 2e-6}


def summary(name, tau, figures):
    """Means over rows, and over batches of rows, as the report has them."""
    norm = np.linalg.norm
    whole = wanted // batch_rows
    result = {key: float(np.mean(sums[name, tau, key])) for key in figures if (name, tau, key) in sums}
    everything = norm(gradients[name, tau].sum(0)) / norm(exact_gradients[tau].sum(0))
    result["gradient_all"] = everything
    result["gradient_batch"] = float(np.mean(
        norm(gradients[name, tau][:whole], axis=1) / norm(exact_gradients[tau][:whole], axis=1)
    )) if whole else everything
    return result


faults = compared = 0
for item in report["options"]:
    if item["name"] in tops and abs(item["same_top"] - tops[item["name"]] / wanted) > 2.5 / wanted:
        faults += 1
        print(f"FAULT {item['name']}: same_top {item['same_top']} against {tops[item['name']] / wanted}")
    for figures in item["figures"]:
        tau, name = figures["temperature"], item["name"]
        if (name, tau) not in gradients:
            continue
        ways = [name] + [other for other in (f"{name}, order {i}" for i in range(1, len(ORDERS))) if (other, tau) in gradients]
        found = [summary(way, tau, figures) for way in ways]
        for key in found[0]:
            compared += 1
            values = [way[key] for way in found]
            limit = TOLERANCE.get(name, TOLERANCE["default"]) * abs(values[0]) + ABSOLUTE.get(key, 1e-9)
            limit += noise[tau] if key == "total_variation" else 0
            # As far again as the orders of summation lie apart.
            limit += max(values) - min(values)
            if not min(values) - limit <= figures[key] <= max(values) + limit:
                faults += 1
                print(f"FAULT {name}, temperature {tau}: {key} is {figures[key]:.6g}, here {min(values):.6g} to {max(values):.6g}")
moved = ", ".join(f"{value:.1e} at temperature {tau}" for tau, value in noise.items())
print(f"{compared} figures compared, {faults} faults; float32 products alone are a total variation of {moved}")
sys.exit(faults > 0)

"""Opens every dataset of every shard of a cache with h5py and hdf5plugin and checks it.

Usage: python reference/read_cache.py CACHE_DIRECTORY
Nothing of retort is used: shapes, offsets, finite values, SHA-256 of every file. Exit 1 on a fault.
"""

import hashlib
import json
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (registers filters 32004 and 32008)
import numpy as np

root = Path(sys.argv[1])
manifest = json.loads((root / "manifest.json").read_text())
description = manifest["description"]
width = description["teacher"]["hiddenSize"]
vocabulary = description["teacher"]["vocabularySize"]
k = description["topK"]
signals = {"hiddenType": "bf16", "hiddenLayers": [], "positions": "supervised", "samples": 0,
           **description.get("signals", {})}
full = signals.get("fullLogits")
SCALE_ROWS = 2048
totals = {"records": 0, "rows": 0, "tokens": 0}


if description["formatVersion"] > 3:
    sys.exit(f"format version {description['formatVersion']} is newer than this reader")


def check(condition, what):
    if not condition:
        print(f"FAULT {what}")
        sys.exit(1)


def arrays(file):
    found = {}
    file.visititems(
        lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return found


def hidden(a, name, rows):
    """Rows of hidden states as float32, from whatever they are stored as."""
    values = a[name]
    dtype = {"bf16": np.float32, "f16": np.float16, "f32": np.float32, "int8": np.int8}
    check(values.shape == (rows, width), f"{name}: shape {values.shape}")
    check(values.dtype == dtype[signals["hiddenType"]], f"{name} reads as {values.dtype}")
    values = values.astype(np.float32)
    if signals["hiddenType"] == "int8":
        channel, row = a[name + "_channel_scale"], a[name + "_row_scale"]
        check(channel.shape == (-(-rows // SCALE_ROWS), width) and (channel > 0).all(), f"{name}: channel scales")
        check(row.shape == (rows,) and (row >= 0).all(), f"{name}: row scales")
        values *= channel[np.arange(rows) // SCALE_ROWS] * row[:, None]
    check(np.isfinite(values).all(), f"{name} is not finite")
    return values


def sampled(a, rows):
    """Checks the drawn tokens: each row's ids ascend and its counts add up."""
    offsets = a["logits/sample_offsets"].astype(np.int64)
    ids, counts = a["logits/sample_ids"].astype(np.int64), a["logits/sample_counts"].astype(np.int64)
    check(offsets.shape == (rows + 1,) and offsets[0] == 0 and offsets[-1] == ids.size == counts.size
          and (np.diff(offsets) > 0).all(), "sample_offsets")
    check((ids < vocabulary).all() and (counts > 0).all(), "sample_ids and sample_counts")
    row = np.repeat(np.arange(rows), np.diff(offsets))
    check((np.diff(row * vocabulary + ids) > 0).all(), "sample_ids do not ascend")
    check((np.bincount(row, counts, rows) == signals["samples"]).all(), "sample_counts do not add up")


def check_hash(entry):
    digest = hashlib.sha256((root / entry["path"]).read_bytes()).hexdigest()
    check(digest == entry["sha256"], f"SHA-256 of {entry['path']}")


for shard in manifest["shards"]:
    path = root / shard["file"]["path"]
    check_hash(shard["file"])
    with h5py.File(path, "r") as file:
        header = json.loads(bytes(file.attrs["retort"]) if isinstance(
            file.attrs["retort"], (bytes, np.bytes_)) else file.attrs["retort"])
        a = arrays(file)
    n, rows, tokens = shard["records"], shard["rows"], shard["tokens"]
    check(set(a) == set(shard["file"]["arrays"]), f"{path}: the arrays are not those listed")
    check(a["example_id"].shape == (n, 16), "example_id")
    check(a["split"].shape == (n,) and (a["split"] < len(header["splits"])).all(), "split")
    check(a["text/offsets"].shape == (3 * n + 1,), "text/offsets")
    check(a["text/offsets"][-1] == a["text/bytes"].size, "text/bytes")
    a["text/bytes"].tobytes().decode("utf-8")
    check(a["token_offsets"].shape == (n + 1,) and a["token_offsets"][-1] == tokens, "token_offsets")
    check(a["token_ids"].shape == (tokens,) and (a["token_ids"] < vocabulary).all(), "token_ids")
    ranges = a["supervised"]
    check(ranges.shape == (n, 2), "supervised")
    counts = np.diff(a["row_offsets"].astype(np.int64))
    lengths = np.diff(a["token_offsets"].astype(np.int64))
    if signals["positions"] == "all":
        check((lengths == counts).all(), "row_offsets")
    else:
        check((ranges[:, 1].astype(np.int64) - ranges[:, 0] == counts).all(), "row_offsets")
    final = hidden(a, "hidden/final", rows)
    for layer in signals["hiddenLayers"]:
        hidden(a, f"hidden/layer_{layer}", rows)
    if k:
        check(a["logits/topk_ids"].shape == (rows, k), "topk_ids")
        check((a["logits/topk_ids"] < vocabulary).all(), "topk_ids beyond the vocabulary")
        check(a["logits/topk_logprobs"].shape == (rows, k), "topk_logprobs")
        check(a["logits/topk_logprobs"].dtype == np.float16, "topk_logprobs is not f16")
        check(np.isfinite(a["logits/topk_logprobs"]).all(), "topk_logprobs is not finite")
    if signals["samples"]:
        sampled(a, rows)
    if full:
        values = a["logits/full_logprobs"]
        check(values.shape == (rows, vocabulary), "full_logprobs")
        check(values.dtype == (np.float16 if full == "f16" else np.float32), "full_logprobs' type")
        check(np.isfinite(values).all(), "full_logprobs is not finite")
        for row in values:
            total = np.exp(row.astype(np.float64)).sum()
            check(abs(total - 1) < 0.05, f"full_logprobs: a row adds up to {total}")
    if k or signals["samples"] or full:
        check(a["logits/log_partition"].shape == (rows,), "log_partition")
        check(np.isfinite(a["logits/log_partition"]).all(), "log_partition is not finite")
    totals["records"] += n
    totals["rows"] += rows
    totals["tokens"] += tokens
    print(f"ok {path.name}: {n} records, {tokens} tokens, {rows} rows, hidden mean square "
          f"{float(np.mean(final.astype(np.float64) ** 2)) if rows else 0:.6f}")

check_hash(manifest["teacher"])
check_hash(manifest["readme"])
with h5py.File(root / "teacher.h5", "r") as file:
    a = arrays(file)
check(a["head"].dtype in (np.float32, np.float16), "head's type")  # h5py gives bf16 as float32
check(a["head"].shape == (vocabulary, width) and np.isfinite(a["head"]).all(), "head")
check(a["embedding/rows"].shape == (a["embedding/ids"].size, width), "embedding/rows")
check((np.diff(a["embedding/ids"].astype(np.int64)) > 0).all(), "embedding/ids are not sorted")
check(a["tokenizer/offsets"][-1] == a["tokenizer/bytes"].size, "tokenizer/bytes")
print(f"ok teacher.h5: head {a['head'].shape}, {a['embedding/ids'].size} embedding rows")
print(json.dumps(totals))

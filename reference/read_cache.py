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
totals = {"records": 0, "rows": 0, "tokens": 0}


def check(condition, what):
    if not condition:
        print(f"FAULT {what}")
        sys.exit(1)


def arrays(file):
    found = {}
    file.visititems(
        lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return found


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
    check((ranges[:, 1].astype(np.int64) - ranges[:, 0] == counts).all(), "row_offsets")
    check(a["hidden/final"].shape == (rows, width), "hidden/final")
    check(a["hidden/final"].dtype == np.float32, f"hidden/final reads as {a['hidden/final'].dtype}")
    check(np.isfinite(a["hidden/final"]).all(), "hidden/final is not finite")
    if k:
        check(a["logits/topk_ids"].shape == (rows, k), "topk_ids")
        check((a["logits/topk_ids"] < vocabulary).all(), "topk_ids beyond the vocabulary")
        check(a["logits/topk_logprobs"].shape == (rows, k), "topk_logprobs")
        check(a["logits/topk_logprobs"].dtype == np.float16, "topk_logprobs is not f16")
        check(np.isfinite(a["logits/topk_logprobs"]).all(), "topk_logprobs is not finite")
        check(a["logits/log_partition"].shape == (rows,), "log_partition")
        check(np.isfinite(a["logits/log_partition"]).all(), "log_partition is not finite")
    totals["records"] += n
    totals["rows"] += rows
    totals["tokens"] += tokens
    print(f"ok {path.name}: {n} records, {tokens} tokens, {rows} rows, hidden mean square "
          f"{float(np.mean(a['hidden/final'].astype(np.float64) ** 2)) if rows else 0:.6f}")

check_hash(manifest["teacher"])
check_hash(manifest["readme"])
with h5py.File(root / "teacher.h5", "r") as file:
    a = arrays(file)
check(a["head"].shape == (vocabulary, width) and np.isfinite(a["head"]).all(), "head")
check(a["embedding/rows"].shape == (a["embedding/ids"].size, width), "embedding/rows")
check((np.diff(a["embedding/ids"].astype(np.int64)) > 0).all(), "embedding/ids are not sorted")
check(a["tokenizer/offsets"][-1] == a["tokenizer/bytes"].size, "tokenizer/bytes")
print(f"ok teacher.h5: head {a['head'].shape}, {a['embedding/ids'].size} embedding rows")
print(json.dumps(totals))

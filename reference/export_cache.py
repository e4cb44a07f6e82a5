"""Compares an export with the cache that it was made of, read with h5py and hdf5plugin.

    python reference/export_cache.py CACHE_DIRECTORY EXPORT_DIRECTORY

EXPORT_DIRECTORY is what `retort cache export` made, of either format. Nothing of retort is used:
safetensors files are read with the safetensors package (bf16 with PyTorch), NumPy's with NumPy.
Every array, text, split and line of index.jsonl must be the cache's, bit for bit where the types
are the same; int8 caches are dequantised here too. Exit 1 on a fault.
"""

import json
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (registers filters 32004 and 32008)
import numpy as np
from safetensors import safe_open

SCALE_ROWS = 2048

cache, export = Path(sys.argv[1]), Path(sys.argv[2])
manifest = json.loads((cache / "manifest.json").read_text())
signals = manifest["description"].get("signals", {})
plan = json.loads((export / "export.json").read_text())


def check(condition, what):
    if not condition:
        print(f"FAULT {what}")
        sys.exit(1)


def header(file):
    text = file.attrs["retort"]
    return json.loads(bytes(text) if isinstance(text, (bytes, np.bytes_)) else text)


def hidden(shard, name, rows):
    """Rows of hidden states as they are meant, in float32 unless they are f16."""
    values = shard[name][rows]
    if f"{name}_row_scale" not in shard:
        return values
    group = np.arange(rows.start, rows.stop) // SCALE_ROWS
    scale = shard[f"{name}_channel_scale"][...][group]
    # In this order: the product of the scales is rounded first.
    return values.astype(np.float32) * (scale * shard[f"{name}_row_scale"][rows][:, None])


def expected(shard, i):
    """Arrays and metadata of record `i`."""
    first, end = shard["token_offsets"][i : i + 2].astype(int)
    rows = slice(*shard["row_offsets"][i : i + 2].astype(int))
    arrays = {"token_ids": shard["token_ids"][first:end], "supervised": shard["supervised"][i]}
    for name in shard["hidden"]:
        if not name.endswith("_scale"):
            arrays[f"hidden/{name}"] = hidden(shard, f"hidden/{name}", rows)
    for name in ("topk_ids", "topk_logprobs", "log_partition", "full_logprobs"):
        if f"logits/{name}" in shard:
            arrays[f"logits/{name}"] = shard[f"logits/{name}"][rows]
    if "logits/sample_offsets" in shard:
        cuts = shard["logits/sample_offsets"][rows.start : rows.stop + 1].astype(int)
        arrays["logits/sample_offsets"] = cuts - cuts[0]
        for name in ("sample_ids", "sample_counts"):
            arrays[f"logits/{name}"] = shard[f"logits/{name}"][cuts[0] : cuts[-1]]
    cuts = shard["text/offsets"][3 * i : 3 * i + 4].astype(int)
    texts = [shard["text/bytes"][a:b].tobytes().decode() for a, b in zip(cuts, cuts[1:])]
    metadata = dict(zip(("prompt", "input", "response"), texts))
    metadata["id"] = shard["example_id"][i].tobytes().hex()
    metadata["split"] = header(shard)["splits"][shard["split"][i]]
    return arrays, metadata


def safetensors(path):
    """Arrays (bf16 as float32, which is exact) and metadata of a file, and the types as stored."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        types = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
        arrays = {name: (tensor.float() if types[name] == "bfloat16" else tensor).numpy()
                  for name, tensor in tensors.items()}
        return arrays, file.metadata(), types


def numpy_files(path):
    example = json.loads((path / "example.json").read_text())
    arrays = {name: np.load(path / entry["file"], allow_pickle=False)
              for name, entry in example["arrays"].items()}
    for name, entry in example["arrays"].items():
        check(list(arrays[name].shape) == entry["shape"] and arrays[name].dtype.str == entry["dtype"],
              f"{path}: {name} is not as example.json says")
    check(len(list(path.iterdir())) == len(arrays) + 1, f"{path}: files that nobody lists")
    return arrays, example["metadata"], {name: str(array.dtype) for name, array in arrays.items()}


def compare(found, wanted, place):
    arrays, metadata, types = found
    check(set(arrays) == set(wanted[0]), f"{place}: arrays {sorted(arrays)}, not {sorted(wanted[0])}")
    for name, value in wanted[0].items():
        got = arrays[name]
        check(got.shape == value.shape, f"{place}: {name} has shape {got.shape}, not {value.shape}")
        check(np.array_equal(got.astype(value.dtype), value), f"{place}: {name} differs")
    for key, value in wanted[1].items():
        check(metadata.get(key) == value, f"{place}: {key} is {metadata.get(key)!r}, not {value!r}")
    stored = signals.get("hiddenType", "bf16")
    kind = {"bf16": "bfloat16" if plan["format"] == "safetensors" else "float32",
            "f16": "float16", "f32": "float32", "int8": "float32"}[stored]
    check(types["hidden/final"] == kind, f"{place}: hidden/final is {types['hidden/final']}")


index = [json.loads(line) for line in (export / "index.jsonl").read_text().splitlines()]
lines = {line["id"]: line for line in index}
check(len(lines) == len(index), "index.jsonl names an example twice")
names = {path.name for path in (export / "examples").iterdir()}
check(names == {Path(line["file"]).name for line in index}, "examples/ and index.jsonl disagree")
seen = []
for entry in manifest["shards"]:
    with h5py.File(cache / entry["file"]["path"], "r") as shard:
        for i in range(entry["records"]):
            line = lines.get(shard["example_id"][i].tobytes().hex())
            if line is None:
                continue
            wanted = expected(shard, i)
            path = export / line["file"]
            compare((safetensors if plan["format"] == "safetensors" else numpy_files)(path), wanted, path)
            check(line["split"] == wanted[1]["split"] and line["tokens"] == len(wanted[0]["token_ids"])
                  and line["rows"] == len(wanted[0]["hidden/final"]), f"index.jsonl: {line}")
            seen.append(line["id"])
check(seen == [line["id"] for line in index], "index.jsonl is not in the cache's order")
if plan.get("split") is None and plan.get("limit") is None and plan.get("idsSHA256") is None:
    check(len(seen) == sum(entry["records"] for entry in manifest["shards"]), "examples are missing")

if plan["teacher"]:
    arrays, metadata, _ = safetensors(export / "teacher.safetensors")
    with h5py.File(cache / "teacher.h5", "r") as file:
        for name in ("head", "embedding/ids", "embedding/rows"):
            check(np.array_equal(arrays[name].astype(file[name].dtype), file[name][...]), f"teacher: {name}")
        check(np.float32(metadata["logit_scale"]) == np.float32(header(file)["logitScale"]), "logit_scale")
        cuts = file["tokenizer/offsets"][...].astype(int)
        for name, a, b in zip(header(file)["tokenizerFiles"], cuts, cuts[1:]):
            check((export / "tokenizer" / name).read_bytes() == file["tokenizer/bytes"][a:b].tobytes(), name)
print(f"ok {len(seen)} examples{' and the teacher' if plan['teacher'] else ''}, {plan['format']}")

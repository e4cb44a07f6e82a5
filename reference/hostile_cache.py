"""Writes HDF5 files that a reader of strangers' caches must refuse.

Usage: python reference/hostile_cache.py Tests/CacheTests/Fixtures
Each file has one fault; the test suite expects each to be refused before anything is read.
"""

import sys
from pathlib import Path

import h5py
import numpy as np

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def start(name):
    path = out / f"hostile_{name}.h5"
    path.unlink(missing_ok=True)
    file = h5py.File(path, "w", libver=("v110", "v110"))
    file.attrs["retort"] = np.bytes_(
        b'{"format":1,"kind":"shard","shard":0,"splits":["train"]}\n')
    return file


with start("external_link") as f:
    f["token_ids"] = h5py.ExternalLink("/etc/passwd", "/x")
with start("soft_link") as f:
    f.create_group("text")
    f["text/loop"] = h5py.SoftLink("/text")
with start("external_storage") as f:
    f.create_dataset("split", (64,), "u1", external=[("/etc/passwd", 0, 64)])
with start("virtual") as f:
    layout = h5py.VirtualLayout(shape=(64,), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/passwd.h5", "x", shape=(64,))
    f.create_virtual_dataset("split", layout)
with start("huge_extent") as f:
    f.create_dataset("split", (1 << 62,), "u1", chunks=(1 << 20,), compression="gzip")
with start("huge_chunk") as f:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_chunk((1 << 29,))
    dcpl.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((1 << 29,))
    h5py.h5d.create(f.id, b"split", h5py.h5t.STD_U8LE, space, dcpl)
with start("unknown_filter") as f:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_chunk((16,))
    dcpl.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((64,))
    h5py.h5d.create(f.id, b"split", h5py.h5t.STD_U8LE, space, dcpl)
with start("compound") as f:
    f.create_dataset("split", (4,), np.dtype([("a", "u1"), ("b", "u4")]))
with start("variable_length") as f:
    f.create_dataset("split", (4,), h5py.vlen_dtype(np.uint8))
with start("committed_type") as f:
    f["type"] = np.dtype("u1")
with start("deep") as f:
    f.create_group("a/b/c/d")
with start("cycle") as f:
    f.create_group("text")
    f["text/text"] = f["text"]
with start("many_links") as f:
    for i in range(65):
        f.create_group(f"g{i}")
with start("odd_name") as f:
    f.create_group("..")
with start("missing_chunks") as f:
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_chunk((16,))
    dcpl.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((64,))
    h5py.h5d.create(f.id, b"split", h5py.h5t.STD_U8LE, space, dcpl)
with start("no_arrays") as f:
    pass
(out / "hostile_html.h5").write_text("<html><body>404 Not Found</body></html>\n")
(out / "hostile_lfs_pointer.h5").write_text(
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n")
(out / "hostile_empty.h5").write_bytes(b"")

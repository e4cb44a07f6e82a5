"""HDF5 files of plain arrays as people write them, and some that must be refused, for TensorFile's tests.

    python reference/tensor_files.py Tests/CacheTests/Fixtures/tensors

Needs h5py and hdf5plugin. Values are small formulas that the tests repeat: element i of an array of
numbers is i * 0.5 - 3 (floats) or i - 3, i where it is unsigned (integers). Each `bad_*.h5` has one fault.
"""

import pathlib
import sys

import h5py
import hdf5plugin
import numpy as np

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def start(name, **options):
    path = out / f"{name}.h5"
    path.unlink(missing_ok=True)
    return h5py.File(path, "w", **options)


def numbers(dtype, *shape):
    kind = np.dtype(dtype).kind
    i = np.arange(int(np.prod(shape)))
    return {"f": i * 0.5 - 3, "i": i - 3, "u": i}[kind].astype(dtype).reshape(shape)


TEXTS = ["a", "", "Ġthe", "日本語", "two words ", "👩‍👩‍👧‍👦", "x" * 300]


def fill(f):
    f["student/hidden"] = numbers("<f4", 5, 3)
    f["student/labels"] = numbers("<i8", 7)
    f["projectors/t2s/0/weight"] = numbers("<f8", 2, 4)
    f["scalar"] = np.float64(0.5)
    f["count"] = 12
    f["none"] = np.zeros((0, 4), "<f4")
    for name in ("f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        f[f"types/{name}"] = numbers("<" + name, 9)
    f["vocabulary/student"] = TEXTS
    f["vocabulary/fixed"] = np.array([t.encode() for t in TEXTS[:5]])
    f["vocabulary/one"] = "just this"
    f["same"] = f["student/hidden"]
    f["student/hidden"].attrs["note"] = "ignored"
    packed = f.create_group("packed")
    x = numbers("<f4", 50, 21)
    packed.create_dataset("plain", data=x, chunks=(8, 10))
    packed.create_dataset("gzip", data=x, chunks=(7, 21), compression="gzip")
    packed.create_dataset("shuffled", data=x, compression="gzip", shuffle=True, chunks=True)
    packed.create_dataset("row", data=x.ravel(), chunks=(100,), compression="gzip", shuffle=True)
    packed.create_dataset("lz4", data=x, chunks=(50, 5), **hdf5plugin.LZ4())
    packed.create_dataset("bits", data=x, chunks=(13, 8), **hdf5plugin.Bitshuffle(cname="lz4"))
    packed.create_dataset("noise", chunks=(1, 3), compression="gzip",
                          data=np.frombuffer(b"\x12\x9f\x3b\x41" * 6, "<f4").reshape(2, 3))
    packed.create_dataset("grows", (6,), "<i8", maxshape=(None,), data=numbers("<i8", 6))
    packed.create_dataset("texts", data=TEXTS, chunks=(3,), compression="gzip",
                          dtype=h5py.string_dtype())
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    dcpl.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((4,))
    d = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, space, dcpl)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, numbers("<f4", 4))


with start("good") as f:  # B-trees and symbol tables of HDF5 1.0
    fill(f)
with start("good_v110", libver=("v110", "v110")) as f:  # other indexes of chunks and links
    fill(f)


def low(f, name, shape, type_, filter_=None, chunk=None):
    dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if chunk:
        dcpl.set_chunk(chunk)
    if filter_:
        dcpl.set_filter(filter_, h5py.h5z.FLAG_OPTIONAL, ())
    return h5py.h5d.create(f.id, name, type_, h5py.h5s.create_simple(shape), dcpl)


f4 = h5py.h5t.IEEE_F32LE
with start("bad_external_link") as f:
    f["x"] = h5py.ExternalLink("/etc/passwd", "/x")
with start("bad_soft_link") as f:
    f["x"] = numbers("<f4", 3)
    f["y"] = h5py.SoftLink("/x")
with start("bad_external_storage") as f:
    f.create_dataset("x", (16,), "<f4", external=[("/etc/passwd", 0, 64)])
with start("bad_virtual") as f:
    layout = h5py.VirtualLayout(shape=(4,), dtype="<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd.h5", "x", shape=(4,))
    f.create_virtual_dataset("x", layout)
with start("bad_lzf") as f:
    f.create_dataset("x", data=numbers("<f4", 64), chunks=(16,), compression="lzf")
with start("bad_fletcher") as f:
    f.create_dataset("x", data=numbers("<f4", 64), chunks=(16,), fletcher32=True)
with start("bad_unknown_filter") as f:
    low(f, b"x", (64,), f4, 32099, (16,))
with start("bad_huge_extent") as f:
    f.create_dataset("x", (1 << 62,), "<f4", chunks=(1 << 20,), compression="gzip")
with start("bad_huge_chunk") as f:
    low(f, b"x", (1 << 29,), f4, 1, (1 << 29,))
with start("bad_unwritten") as f:
    f.create_dataset("x", (4,), "<f4")
with start("bad_missing_chunks") as f:
    f.create_dataset("x", (64,), "<f4", chunks=(16,))[:16] = numbers("<f4", 16)
with start("bad_bomb") as f:  # 24 MiB of zeros in some 26 kB
    f.create_dataset("x", (6 << 20,), "<f4", chunks=(1 << 20,), compression="gzip")[:] = 0
with start("bad_compound") as f:
    f["x"] = np.zeros(3, [("a", "<f4"), ("b", "<i8")])
with start("bad_reference") as f:
    f["a"] = 1
    f.create_dataset("x", data=[f["a"].ref], dtype=h5py.ref_dtype)
with start("bad_region_reference") as f:
    f["a"] = numbers("<f4", 4)
    f.create_dataset("x", data=[f["a"].regionref[1:3]], dtype=h5py.regionref_dtype)
with start("bad_lists") as f:
    f.create_dataset("x", (2,), h5py.vlen_dtype(np.float32))
with start("bad_bool") as f:
    f["x"] = np.array([True, False])
with start("bad_complex") as f:
    f["x"] = np.array([1j])
with start("bad_big_endian") as f:
    f["x"] = numbers(">f4", 4)
with start("bad_rank") as f:
    f["x"] = numbers("<f4", 2, 2, 2)
with start("bad_null_space") as f:
    f["x"] = h5py.Empty("<f4")
with start("bad_committed_type") as f:
    f["x"] = np.dtype("<f4")
with start("bad_deep") as f:
    f["a/b/c/d/e/f"] = 1
with start("bad_cycle") as f:
    f.create_group("a")
    f["a/a"] = f["a"]
with start("bad_many_links", libver="latest") as f:
    for i in range(65):
        f.create_group(f"g{i}")
with start("bad_odd_name") as f:
    f["student hidden"] = 1
with start("bad_dot_name") as f:
    f.create_group("..")
with start("bad_long_text") as f:
    f["x"] = np.array([b"x" * 5000])
with start("bad_user_block", userblock_size=512) as f:
    f["x"] = numbers("<f4", 4)

# Damage after writing: the bytes that are there, and those that go in their place.
whole = (out / "good.h5").read_bytes()
(out / "bad_truncated.h5").write_bytes(whole[: len(whole) * 2 // 3])
(out / "bad_text.h5").write_text("student/hidden: [1, 2, 3]\n")
(out / "bad_empty.h5").write_bytes(b"")
with start("bad_heap") as f:
    f["x"] = ["first", "second"]
path = out / "bad_heap.h5"
data = path.read_bytes()
heap = data.index(b"GCOL")
address = heap.to_bytes(8, "little")
assert data.count(address) == 2, "the two texts name the heap"
path.write_bytes(data.replace(address, (len(data) + 4096).to_bytes(8, "little")))
with start("bad_utf8") as f:
    f["x"] = np.array([b"good", b"\xff\xfe"])
with start("bad_packed") as f:
    f.create_dataset("x", data=numbers("<f4", 64), compression="gzip")
path = out / "bad_packed.h5"
data = bytearray(path.read_bytes())
with h5py.File(path) as f:
    info = f["x"].id.get_chunk_info(0)
data[info.byte_offset + info.size - 6] ^= 1
path.write_bytes(data)

# The heap's free space says that it has no bytes: HDF5 1.10 goes over it for ever, until it is stopped.
with start("hang_heap") as f:
    f["x"] = ["first", "second"]
path = out / "hang_heap.h5"
data = bytearray(path.read_bytes())
at = data.index(b"GCOL") + 16
while int.from_bytes(data[at : at + 2], "little"):
    at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
data[at + 8 : at + 16] = bytes(8)
path.write_bytes(data)

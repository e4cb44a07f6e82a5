"""Writes Tests/ModelsTests/Fixtures/weights: weight files made by the packages that others use.

    python reference/weight_goldens.py

Needs torch, safetensors, huggingface_hub, gguf. All numbers come from fixed seeds.
- quants.gguf: one tensor a type, of random blocks; metadata of every kind.
- quants.safetensors: what gguf.quants.dequantize makes of them, as F32.
- plain.safetensors: F32, F16, BF16, I64, U8 by the safetensors package; sharded/: the same kind in
  three shards with an index. Element i of each float tensor is ((37 * i) % 101 - 50) / 8, which all
  three types hold exactly.
"""

import pathlib
import shutil

import gguf
import huggingface_hub
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

FOLDER = pathlib.Path(__file__).parents[1] / "Tests/ModelsTests/Fixtures/weights"
T = gguf.GGMLQuantizationType
# Where the f16 scales stand in a block: random bytes there would give infinities and NaN.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
    T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0],
}
ROWS, WIDTH = 2, 512


def blocks(kind, random):
    """Random bytes, with scales from subnormal to large, of both signs."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (ROWS * WIDTH // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = random.standard_normal(len(data)) * 10.0 ** random.uniform(-7, 1, len(data))
        data[:, at : at + 2] = scale.astype("<f2")[:, None].view(np.uint8)
    return data.reshape(ROWS, -1)


def write_quants():
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(FOLDER / "quants.gguf", "llama")
    writer.add_uint32("test.u32", 4_000_000_000)
    writer.add_int32("test.i32", -7)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_float32("test.f32", 0.1)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "Grüße, 世界")
    writer.add_array("test.strings", ["a", "", "Ġthe"])
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    writer.add_array("test.nested", [[1, 2], [3]])
    expected = {}
    for kind in SCALES:
        data = blocks(kind, random)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind)
        assert np.isfinite(expected[kind.name]).all()
    values = random.standard_normal((3, 40)).astype(np.float32)
    for kind in (T.F32, T.F16, T.BF16):
        data = gguf.quants.quantize(values, kind)
        if kind == T.BF16:
            writer.add_tensor(kind.name, data, raw_dtype=kind)
        else:
            writer.add_tensor(kind.name, data)
        expected[kind.name] = gguf.quants.dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    safetensors.numpy.save_file(expected, FOLDER / "quants.safetensors")


def pattern(*shape):
    count = int(np.prod(shape))
    return (((37 * torch.arange(count)) % 101 - 50) / 8).reshape(shape)


def write_safetensors():
    tensors = {
        "f32": pattern(7, 33),
        "f16": pattern(5, 9).to(torch.float16),
        "bf16": pattern(4, 3, 5).to(torch.bfloat16),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "i64": torch.tensor([-1, 2**40, 3]),
        "u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
        'quote " and \\ and ü': pattern(2),
    }
    safetensors.torch.save_file(
        tensors, FOLDER / "plain.safetensors", metadata={"format": "pt", "note": 'a "note"'})
    shutil.rmtree(FOLDER / "sharded", ignore_errors=True)
    (FOLDER / "sharded").mkdir()
    layers = {f"model.layers.{i}.weight": pattern(16, 16).to(torch.bfloat16) for i in range(3)}
    huggingface_hub.save_torch_state_dict(
        {"model.norm.weight": pattern(16), **layers}, FOLDER / "sharded", max_shard_size=600)


FOLDER.mkdir(parents=True, exist_ok=True)
write_quants()
write_safetensors()

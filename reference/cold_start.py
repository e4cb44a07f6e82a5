"""How long training waits for data where the cache is on disk and nothing of it in memory.

    python reference/cold_start.py --retort .build/release/retort --cache runs/quickstart/cache --student runs/quickstart/student

Puts the cache's files out of the page cache (posix_fadvise), checks that they are (mincore), trains --steps steps, and prints the seconds that
the steps waited for examples as a share of all, the first step apart. Exit codes: 0 below 2 %, 1 above.
"""

import argparse
import ctypes
import json
import mmap
import os
import pathlib
import subprocess
import tempfile

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def resident(path):
    """Bytes of a file in the page cache."""
    size = path.stat().st_size
    if size == 0:
        return 0
    pages = (size + PAGE - 1) // PAGE
    with open(path, "rb") as file:
        place = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
        found = ctypes.create_string_buffer(pages)
        libc.mincore(place, size, found)
        libc.munmap(place, size)
    return PAGE * sum(byte & 1 for byte in found.raw)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("retort", "cache", "student"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--criterion", default="dskd_cma")
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    files = [path for path in pathlib.Path(options.cache).rglob("*") if path.is_file()]
    os.sync()
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    size, left = sum(path.stat().st_size for path in files), sum(resident(path) for path in files)
    print(f"cache: {size / 2**20:.1f} MiB, of which {left / 2**20:.1f} MiB are in memory")
    with tempfile.TemporaryDirectory() as folder:
        settings = {"cache": options.cache, "student.from": options.student, "output": f"{folder}/run",
                    "criterion": options.criterion, "steps": options.steps, "batch_examples": 16,
                    "max_length": 320, "max_prompt_length": 128, "compute": "bf16"}
        command = [options.retort, "distill"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        steps = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
    seconds, waited = sum(step["seconds"] for step in steps), sum(step["data_seconds"] for step in steps)
    print(f"first step: {steps[0]['data_seconds']:.3f} s of waiting in {steps[0]['seconds']:.2f} s")
    print(f"{len(steps)} steps: {waited:.3f} s of waiting in {seconds:.1f} s, {waited / seconds:.2%}")
    return 0 if waited < 0.02 * seconds else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""Looks for shards that crash HDF5 1.10.8, by damaging the structure of a whole one.

Usage: python reference/crashing_shards.py RETORT CACHE OUT [COUNT]

Damages shard 0 of a copy of CACHE (a bit, or 8 bytes anew, outside the chunks), lists the damaged
file's right hashes in the manifest, as a stranger can, and has RETORT look at it, in the jail and
without (RETORT_NO_SANDBOX=1). OUT gets the first COUNT (3) files that end one of them by a signal, each
in another way. What a wild pointer or a read past a buffer does depends on what lies there: a crash
in the one process may be a plain error, or nothing, in the other.
Made with version1 of Tests/CacheTests/Fixtures/versions: Tests/CacheTests/Fixtures/crash_*.h5.
"""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

retort, cache, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
wanted = int(sys.argv[4]) if len(sys.argv) > 4 else 3
out.mkdir(parents=True, exist_ok=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def canonical(manifest):
    """The text that JSONEncoder writes, sorted and pretty."""
    text = json.dumps(manifest, sort_keys=True, indent=2, separators=(",", " : "), ensure_ascii=False)
    text = re.sub(r"^( *)(.*)\[\]", r"\1\2[\n\n\1]", text, flags=re.M)
    text = re.sub(r"^( *)(.*)\{\}", r"\1\2{\n\n\1}", text, flags=re.M)
    return (text + "\n").encode()


manifest = json.loads((cache / "manifest.json").read_text())
assert canonical(manifest) == (cache / "manifest.json").read_bytes(), "JSON is written differently"
whole = (cache / "shards/00000.h5").read_bytes()
# Structure with its checksums: HDF5 looks at nothing where one of those is wrong, so they are mended.
ranges = manifest["shards"][0]["file"]["dataRanges"]
structure = [i for i in range(len(whole)) if not any(r["start"] <= i < r["end"] for r in ranges)]


def rotate(value, count):
    return ((value << count) | (value >> (32 - count))) & 0xFFFFFFFF


def lookup3(data):
    """Bob Jenkins's hash, which HDF5 has as the checksum of its structure."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    words = lambda part: [int.from_bytes(part[i:i + 4], "little") for i in (0, 4, 8)]
    position = 0
    while len(data) - position > 12:
        x, y, z = words(data[position:position + 12])
        a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
        for p in range(2):
            a = (a - c) & 0xFFFFFFFF; a ^= rotate(c, 4 if p == 0 else 16); c = (c + b) & 0xFFFFFFFF
            b = (b - a) & 0xFFFFFFFF; b ^= rotate(a, 6 if p == 0 else 19); a = (a + c) & 0xFFFFFFFF
            c = (c - b) & 0xFFFFFFFF; c ^= rotate(b, 8 if p == 0 else 4); b = (b + a) & 0xFFFFFFFF
        position += 12
    rest = data[position:]
    if not rest:
        return c
    x, y, z = words(rest.ljust(12, b"\0"))
    a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
    for to, source, count in ("c", "b", 14), ("a", "c", 11), ("b", "a", 25), ("c", "b", 16), \
            ("a", "c", 4), ("b", "a", 14), ("c", "b", 24):
        value = {"a": a, "b": b, "c": c}
        result = ((value[to] ^ value[source]) - rotate(value[source], count)) & 0xFFFFFFFF
        a, b, c = (result if to == n else value[n] for n in "abc")
    return c


def blocks(data):
    """Stretches (start, place of the checksum) of object headers and their continuations."""
    found = []
    for start in structure:
        if data[start:start + 4] not in (b"OHDR", b"OCHK", b"FAHD", b"FADB", b"BTHD", b"BTLF", b"FRHP", b"FHDB"):
            continue
        for end in range(start + 8, min(start + 8192, len(data) - 3)):
            if int.from_bytes(data[end:end + 4], "little") == lookup3(data[start:end]):
                found.append((start, end))
                break
    return found


def look(environment):
    return subprocess.run([retort, "cache", "inspect", str(copy)], env=environment,
                          capture_output=True, text=True, timeout=200)


known = blocks(whole)
print(f"{len(structure)} bytes of structure, {len(known)} blocks with a checksum")
numbers = random.Random(1)
kinds = []
with tempfile.TemporaryDirectory() as folder:
    copy = Path(folder) / "cache"
    shutil.copytree(cache, copy)
    for attempt in range(20_000):
        data = bytearray(whole)
        if attempt % 2:
            data[numbers.choice(structure)] ^= 1 << numbers.randrange(8)
        else:
            place = numbers.choice(structure[:-8])
            data[place:place + 8] = numbers.randbytes(8)
        if attempt % 4 < 3:
            for start, end in known:
                data[end:end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
        (copy / "shards/00000.h5").write_bytes(data)
        entry = manifest["shards"][0]["file"]
        entry.update(bytes=len(data), sha256=sha256(data), structureSHA256=sha256(data), dataRanges=[])
        manifest["checksum"] = ""
        manifest["checksum"] = sha256(canonical(manifest))
        (copy / "manifest.json").write_bytes(canonical(manifest))
        jailed = look(dict(os.environ))
        if attempt == 0 or attempt % 500 == 499:
            print(attempt, jailed.returncode, jailed.stderr.strip()[-160:], flush=True)
        if jailed.returncode < 0:
            sys.exit(f"attempt {attempt}: RETORT itself crashed; {folder}")
        bare = look(dict(os.environ, RETORT_NO_SANDBOX="1", SWIFT_BACKTRACE="enable=no"))
        said = re.search(r"00000.h5: ([^'(.]*)", jailed.stderr)
        if bare.returncode >= 0 and "HDF5 crashed" not in jailed.stderr:
            continue
        kind = (said and said[1], bare.returncode)
        if kind in kinds:
            continue
        kinds.append(kind)
        print(f"crash_{len(kinds)}.h5, attempt {attempt}: {kind[0]}; outside: {kind[1]}", flush=True)
        (out / f"crash_{len(kinds)}.h5").write_bytes(data)
        if len(kinds) == wanted:
            break

#!/usr/bin/env python3
"""The cache against h5py + hdf5plugin, safetensors and MosaicML Streaming: same data, in turns.

    make build; swift build -c release --product benchmarks
    python benchmarks/cache.py                          everything, about ten minutes, 8 GB of disk
    python benchmarks/cache.py --quick                  smaller, about a minute
    python benchmarks/cache.py --sections read,random --json numbers.json

Needs numpy, h5py, hdf5plugin, safetensors, mosaicml-streaming, and the cache of the quick start
(`make quickstart`), whose examples are repeated, each row times a number of its own near 1. All
files are in the page cache. Rates are medians of the rounds in GB (1e9) of unpacked data, in the types in which
it is stored, a second; `best` is the best round's, and `a
processor` is by the seconds of processors used instead: what is left of it when others use the machine. Ratios are medians of the ratios round by round.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
COMMAND = pathlib.Path(os.environ.get("RETORT_BENCHMARKS", ROOT / ".build/release/benchmarks"))
GIGA = 1e9
# name, cache, array
READS = [
    ("hidden bf16, LZ4", "lz4", "hidden/final"),
    ("hidden bf16, deflate", "deflate", "hidden/final"),
    ("hidden int8, LZ4", "int8", "hidden/final"),
    ("hidden f16, LZ4", "f16", "hidden/final"),
    ("top-64 ids u32, LZ4", "lz4", "logits/topk_ids"),
    ("top-64 log-probs f16, LZ4", "lz4", "logits/topk_logprobs"),
]


class Side:
    """A process that answers requests."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, what, **request):
        self.process.stdin.write(json.dumps({"what": what, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"one side ended early, at {what} {request}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, arguments, folder):
        self.folder = folder
        self.quick = arguments.quick
        self.rounds = arguments.rounds or (2 if arguments.quick else 7)
        self.origin = str(arguments.cache)
        self.examples = 1_100 if self.quick else 4_400
        self.shards = 1 if self.quick else 4
        self.results = {}
        self.retort = self.new_retort()
        self.plain = self.new_python("plain")
        self.streaming = self.new_python("streaming")

    def new_retort(self):
        return Side([str(COMMAND), "cache"])

    def new_python(self, name):
        return Side([sys.executable, str(HERE / "cache_sides.py"), name])

    def path(self, name):
        return str(self.folder / name)

    def shard(self, name, index=0):
        return self.path(f"{name}/shards/{index:05d}.h5")

    def make(self, name, **settings):
        """A cache of this name, made once."""
        if not os.path.exists(self.path(name)):
            self.retort.ask("make", cache=self.path(name), **{
                "from": self.origin, "examples": self.examples, "shards": 1, **settings})
        return self.path(name)

    def base(self):
        return self.make("lz4", shards=self.shards)

    def turns(self, sides, rounds):
        """Each side once to warm up (only ours for a single round), then in turns: all their answers."""
        for ask in list(sides.values())[:None if rounds > 1 else 1]:
            ask()
        answers = {name: [] for name in sides}
        for _ in range(rounds):
            for name, ask in sides.items():
                answers[name].append(ask())
        return answers

    def compare(self, section, title, sides, seconds=lambda a: a["seconds"], rounds=None):
        """Prints a line for each side; the ratio is that of the first one to it."""
        answers = self.turns(sides, min(rounds or self.rounds, self.rounds))
        ours = [seconds(a) / a["bytes"] for a in next(iter(answers.values()))]
        print(f"  {title}", flush=True)
        for name, got in answers.items():
            theirs = [seconds(a) / a["bytes"] for a in got]
            line = {
                "rate": 1 / statistics.median(theirs) / GIGA,
                "best": 1 / min(theirs) / GIGA,
                "ratio": statistics.median(b / a for a, b in zip(ours, theirs)),
            }
            text = f"    {name:<44} {line['rate']:6.2f} GB/s  best {line['best']:6.2f}"
            if all(a["cpu"] for a in got):
                line["cpu"] = statistics.median(a["bytes"] / a["cpu"] for a in got) / GIGA
                text += f"  a processor {line['cpu']:6.2f}"
            if "examples" in got[0]:
                line["examples"] = statistics.median(a["examples"] / seconds(a) for a in got)
                text += f"  {line['examples']:7.0f} examples/s"
            if theirs != ours:
                text += f"  Retort is {line['ratio']:5.2f}x"
            print(text, flush=True)
            line["rounds"] = theirs
            self.results.setdefault(section, {}).setdefault(title, {})[name] = line
        return answers

    def note(self, section, title, numbers, text):
        self.results.setdefault(section, {})[title] = numbers
        print(f"  {title:<46} {text}", flush=True)

    # 1
    def read(self):
        self.base()
        self.make("deflate", compression="deflate")
        self.make("int8", hiddenType="int8")
        self.make("f16", hiddenType="f16")
        for title, cache, array in READS:
            plain, name = self.path(f"plain-{cache}.h5"), array.replace("/", "_")
            tensors = self.path(f"{cache}.safetensors")
            if not os.path.exists(plain):
                self.plain.ask(
                    "prepare", shard=self.shard(cache), to=plain, tensors=tensors)

            def ours(**settings):
                return lambda: self.retort.ask(
                    "read", cache=self.path(cache), array=array, **settings)

            def theirs(what="read", file=plain, array=name, **settings):
                return lambda: self.plain.ask(what, file=file, array=array, **settings)

            sides = {
                "Retort, 1 thread": ours(threads=1),
                "h5py, plain dataset, 1 thread": theirs(),
                "h5py, plain dataset, 2 threads": theirs(threads=2),
            }
            if array == "hidden/final":
                sides["safetensors, mapped and copied, not packed"] = theirs(
                    "tensors", file=tensors, array=array)
            if cache == "lz4" and array == "hidden/final":
                sides["Retort, 1 thread, to nowhere"] = ours(threads=1, into="nothing")
                self.compare("read, to f32", title, {
                    "Retort, 1 thread": ours(threads=1, into="floats"),
                    "Retort, 2 threads": ours(threads=2, into="floats"),
                    "h5py, our shard, 1 thread": theirs(file=self.shard(cache), array=array),
                }, rounds=1 if self.quick else 3)
            self.compare("read, 1 thread", title, sides)
            sides = {
                "Retort, 2 threads": ours(threads=2),
                "h5py, plain dataset, 2 threads": theirs(threads=2),
                "h5py, plain dataset, 2 processes": theirs("read_processes"),
            }
            self.compare("read, 2 threads", title, sides)

    # 2
    def write(self):
        self.base()
        for compression in ["lz4"] if self.quick else ["lz4", "deflate"]:
            rounds = 2 if compression == "deflate" else None
            cache = self.make(compression, compression=compression)
            shard, settings = self.shard(compression), {"compression": compression}
            settings["from"] = cache
            whole = self.compare("write", f"a whole shard, {compression}, flushed to the disk", {
                "Retort, ShardWriter, read back and hashed": lambda: self.retort.ask(
                    "write", cache=self.path("written"), **settings),
                "h5py, same arrays, chunks and filters": lambda: self.plain.ask(
                    "write", shard=shard, to=self.path("written.h5")),
                **({} if compression == "deflate" else {
                    "safetensors, not packed": lambda: self.plain.ask(
                        "write_tensors", shard=shard, to=self.path("written.safetensors")),
                    "MDSWriter, not packed": lambda: self.streaming.ask(
                        "write", shards=[shard], to=self.path("written.mds")),
                    "MDSWriter, zstd:1": lambda: self.streaming.ask(
                        "write", shards=[shard], to=self.path("written.mds"),
                        compression="zstd:1"),
                }),
            }, seconds=lambda a: a["seconds"] + a["flush"] if "seconds" in a
                else a["append"] + a["finish"], rounds=rounds)
            ours = next(iter(whole.values()))
            parts = {key: statistics.median(a[key] for a in ours)
                     for key in ["append", "finish", "verify", "hash", "flush"]}
            total = parts["append"] + parts["finish"]
            self.note("write", f"of which, {compression}", parts, ", ".join(
                f"{key} {value / total:.0%}" for key, value in parts.items()))
            self.compare("write", f"hidden alone, {compression}, not flushed, not read back", {
                "Retort, packed on 2 threads": lambda: self.retort.ask(
                    "pack", cache=self.path("packed"), **settings),
                "h5py, same chunks and filter": lambda: self.plain.ask(
                    "write", shard=shard, to=self.path("written.h5"), only="hidden/final"),
            }, rounds=rounds)

    # 3
    def stream(self):
        cache = self.base()
        shards = [self.shard("lz4", i) for i in range(self.shards)]
        mds, zstd = self.path("mds"), self.path("mds-zstd")
        self.streaming.ask("write", shards=shards, to=mds)
        self.streaming.ask("write", shards=shards, to=zstd, compression="zstd:1")
        limit = 5 if self.quick else 1e9

        def theirs(what="epoch", **settings):
            return lambda: self.streaming.ask(what, local=mds, **settings)

        answers = self.compare("stream", "shuffled epochs", {
            "Retort, CacheStream, 2 threads, to f32": lambda: self.retort.ask(
                "stream", cache=cache, threads=2),
            "Retort, CacheStream, 1 thread, to f32": lambda: self.retort.ask(
                "stream", cache=cache, threads=1),
            "MosaicML, py1e, iterated": theirs(limit=limit),
            "MosaicML, py1e, DataLoader, 2 workers": theirs(workers=2, limit=limit),
            "MosaicML, by number in order": theirs("items", shuffled=False),
            "MosaicML, by number at random": theirs("items"),
            "MosaicML, py1e, from zstd:1": lambda: self.streaming.ask(
                "epoch", local=zstd, limit=limit, packed=True),
        }, rounds=1 if self.quick else 3)
        ours = answers["Retort, CacheStream, 2 threads, to f32"]
        self.note("stream", "Retort, rows/s", statistics.median(
            a["rows"] / a["seconds"] for a in ours), f"{ours[0]['rows'] / ours[0]['seconds']:.0f},"
            f" first batch after {ours[0]['first'] * 1e3:.0f} ms")

    # 4
    def random(self):
        self.base()
        for shards in [-(-100_000 // self.examples), 400]:
            linked = self.path(f"linked-{shards}")
            if not os.path.exists(linked):
                self.retort.ask("link", cache=linked, shards=shards, **{"from": self.path("lz4")})
            count = 500 if self.quick else 4_000
            got = [self.retort.ask("random", cache=linked, count=count)
                   for _ in range(self.rounds)]
            middle = {key: statistics.median(a[key] for a in got) for key in got[0]}
            self.note("random", f"Retort, {middle['examples']:.0f} examples, {shards} shards",
                      middle, f"median {middle['median'] * 1e3:.2f} ms, p99 "
                      f"{middle['p99'] * 1e3:.2f} ms; first use of a shard: median "
                      f"{middle['touch'] * 1e3:.1f} ms, worst {middle['touch_worst'] * 1e3:.1f} ms;"
                      f" opening {middle['open'] * 1e3:.1f} ms")
        theirs = {"h5py, one open shard": self.plain.ask(
            "random", shard=self.shard("lz4"), count=500)}
        if os.path.exists(self.path("mds")):
            theirs["MosaicML, not packed"] = self.streaming.ask(
                "items", local=self.path("mds"), count=2_000)
        for name, got in theirs.items():
            self.note("random", name, got, f"median {got['median'] * 1e3:.2f} ms, "
                      f"p99 {got['p99'] * 1e3:.2f} ms")

    # 5
    def memory(self):
        self.base()
        size = os.path.getsize(self.shard("lz4"))
        for memory in [512, 64]:
            for name, wanted in [("1 GB", GIGA), ("100 GB", 100 * GIGA)]:
                shards = max(1, round(wanted / size))
                linked = self.path(f"linked-{shards}")
                if not os.path.exists(linked):
                    self.retort.ask(
                        "link", cache=linked, shards=shards, **{"from": self.path("lz4")})
                limit = (3 if self.quick else 60) if wanted > GIGA else 1e9
                side = self.new_retort()
                got = side.ask("stream", cache=linked, memory=memory, threads=2, seconds=limit)
                side.close()
                self.note("memory", f"{name} in {shards} shards, memory: {memory} MiB", got,
                          f"peak {got['peak'] / 2**20:5.0f} MiB, {got['examples'] / got['all']:4.0%}"
                          f" of the epoch in {got['seconds']:.1f} s,"
                          f" {got['bytes'] / got['seconds'] / GIGA:.2f} GB/s")

    # 6
    def checksum(self):
        self.base()
        for title, cache, array in READS:
            if not os.path.exists(self.path(cache)):
                continue
            got = [self.retort.ask("checksum", cache=self.path(cache), array=array, threads=1)
                   for _ in range(self.rounds + 1)][1:]
            share = statistics.median(a["checksum"] / a["whole"] for a in got)
            fetch = statistics.median(a["fetch"] / a["whole"] for a in got)
            rate = statistics.median(a["packed"] / a["checksum"] for a in got) / GIGA
            # Of the time that reading takes at 3 GB/s.
            budget = statistics.median(a["checksum"] / (a["bytes"] / 3e9) for a in got)
            self.note("checksum", title, {"share": share, "of 3 GB/s": budget, "rate": rate},
                      f"{share:.1%} of the read ({budget:.1%} of one at 3 GB/s), "
                      f"{rate:.1f} GB/s; fetching the bytes {fetch:.1%}")

    # 7
    def sizes(self):
        for kind in ["bf16", "f16", "f32", "int8"]:
            for compression in ["lz4", "deflate"]:
                # bf16 as it is; the others of changed rows, whose mantissas are not cut to bf16's.
                exact = kind == "bf16"
                cache = self.make(
                    f"real-{kind}-{compression}", hiddenType=kind, compression=compression,
                    exact=exact, examples=0)
                got = self.retort.ask("sizes", cache=cache)
                names = [n for n in got if n.startswith("hidden/") and not n.endswith(" raw")]
                packed = sum(got[n] for n in names)
                raw = sum(got[n + " raw"] for n in names)
                text = f"hidden {packed:6.0f} of {raw:5.0f} bytes a row ({packed / raw:.0%})"
                if exact:
                    for name in ["logits/topk_ids", "logits/topk_logprobs"]:
                        text += f"; {name[7:]} {got[name]:.0f} of {got[name + ' raw']:.0f}"
                    every = sum(v for n, v in got.items() if not n.endswith("raw") and n != "rows")
                    text += f"; everything {every:.0f}"
                self.note("sizes", f"{kind}, {compression}", got, text)
                shutil.rmtree(cache)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ["sizes", "read", "checksum", "write", "stream", "random", "memory"]
    parser.add_argument("--sections", default=",".join(sections))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "runs/quickstart/cache")
    parser.add_argument("--folder", type=pathlib.Path, help="where files go, and stay")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    for path, what in [(COMMAND, "swift build -c release --product benchmarks"),
                       (arguments.cache / "manifest.json", "make quickstart")]:
        if not path.exists():
            sys.exit(f"{path} is not there; run `{what}`")
    folder = arguments.folder or pathlib.Path(tempfile.mkdtemp(prefix="retort-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        bench = Bench(arguments, folder)
        start = time.perf_counter()
        for section in arguments.sections.split(","):
            print(f"{section} ({time.perf_counter() - start:.0f} s)", flush=True)
            getattr(bench, section)()
        print(f"done ({time.perf_counter() - start:.0f} s)")
        for side in [bench.retort, bench.plain, bench.streaming]:
            side.close()
        if arguments.json:
            arguments.json.write_text(json.dumps(bench.results, indent=2) + "\n")
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

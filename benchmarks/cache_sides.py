"""The other sides of benchmarks/cache.py: h5py + hdf5plugin, safetensors, MosaicML Streaming.

Each is a process that answers a line of JSON with a line of JSON, as `benchmarks cache` does.
"""

import concurrent.futures
import glob
import json
import mmap
import multiprocessing
import os
import pathlib
import random
import resource
import shutil
import sys
import time

import numpy as np

ARRAYS = ["hidden/final", "logits/topk_ids", "logits/topk_logprobs", "logits/log_partition"]
TABLES = ["token_ids", "token_offsets", "row_offsets", "supervised", "text/bytes", "text/offsets"]
COLUMNS = {
    "id": "str", "prompt": "str", "response": "str", "tokens": "ndarray:uint32", "start": "int",
    "hidden": "ndarray:uint16", "topk_ids": "ndarray:uint32", "topk_logprobs": "ndarray:float16",
    "log_partition": "ndarray:float32"}


class Watch:
    """Seconds, and seconds of processors, that a block takes; blocks of one watch add up."""

    def __init__(self):
        self.seconds = self.cpu = 0.0

    def __enter__(self):
        self.seconds -= time.perf_counter()
        self.cpu -= self.processors()
        return self

    def __exit__(self, *_):
        self.seconds += time.perf_counter()
        self.cpu += self.processors()

    @staticmethod
    def processors():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def answer(self, **more):
        return {"seconds": self.seconds, "cpu": self.cpu, **more}


def flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def stored(dataset):
    """The rows as they are stored: bf16, which numpy does not know, as its bits in uint16."""
    values = dataset[...]
    if dataset.id.get_type().get_size() == 2 and values.dtype == np.float32:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values


def plain_dataset(file, name, values, like):
    """A dataset with the chunks and the filters of another."""
    import h5py

    space = h5py.h5s.create_simple(values.shape)
    dtype = h5py.h5t.py_create(values.dtype)
    name = name.replace("/", "_").encode()
    made = h5py.Dataset(h5py.h5d.create(file.id, name, dtype, space, like.id.get_create_plist()))
    made[...] = values


class Plain:
    """h5py + hdf5plugin and safetensors."""

    def __init__(self):
        import h5py
        import hdf5plugin  # noqa: F401 (registers the filters)

        self.h5py = h5py
        self.room = np.ones(0, np.uint8)
        self.arrays = {}
        self.pool = None

    def space(self, count, dtype, shape):
        """Touched memory: nobody pays for new pages while it is measured."""
        if self.room.nbytes < count:
            self.room = np.ones(count, np.uint8)
        return self.room[:count].view(dtype).reshape(shape)

    def prepare(self, shard, to, names=None, tensors=None):
        """Writes arrays of a shard, as they are stored, to a plain HDF5 file of the same filters."""
        with self.h5py.File(shard) as source, self.h5py.File(to, "w") as file:
            names = [n for n in names or ARRAYS if n in source]
            values = {name: stored(source[name]) for name in names}
            for name in names:
                plain_dataset(file, name, values[name], source[name])
        if tensors:
            from safetensors.numpy import save_file
            save_file(values, tensors)
        return {}

    def read(self, file, array, threads=1):
        with self.h5py.File(file) as opened:
            data = opened[array]
            whole = self.space(int(np.prod(data.shape)) * data.dtype.itemsize, data.dtype, data.shape)
            edges = [len(data) * i // threads // data.chunks[0] * data.chunks[0]
                     for i in range(threads)] + [len(data)]
            parts = [np.s_[a:b] for a, b in zip(edges, edges[1:])]
            with Watch() as watch:
                if threads == 1:
                    data.read_direct(whole)
                else:
                    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                        list(pool.map(lambda part: data.read_direct(whole, part, part), parts))
            count = int(np.prod(data.shape)) * data.id.get_type().get_size()
        return watch.answer(bytes=count)

    def read_processes(self, file, array, processes=2):
        """Each process reads a share into memory of its own, where it stays."""
        if self.pool is None:
            self.pool = multiprocessing.get_context("spawn").Pool(processes)
        shares = [(file, array, part, processes) for part in range(processes)]
        for _ in range(4):  # either process has room for either share then
            self.pool.map(read_share, shares, chunksize=1)
        with Watch() as watch:
            count = sum(self.pool.map(read_share, shares, chunksize=1))
        watch.cpu = 0  # of processes that go on
        return watch.answer(bytes=count)

    def tensors(self, file, array):
        """Copies a mapped tensor; the mapping is new each time, the pages are in memory."""
        with open(file, "rb") as opened:
            head = int.from_bytes(opened.read(8), "little")
            entry = json.loads(opened.read(head))[array]
            first, end = entry["data_offsets"]
            target = self.space(end - first, np.uint8, (end - first,))
            with Watch() as watch:
                mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
                target[:] = np.frombuffer(mapped, np.uint8, end - first, 8 + head + first)
        return watch.answer(bytes=end - first)

    def values(self, shard):
        if shard not in self.arrays:
            with self.h5py.File(shard) as source:
                names = [n for n in ARRAYS + TABLES + ["example_id", "split"] if n in source]
                self.arrays = {shard: {name: stored(source[name]) for name in names}}
        return self.arrays[shard]

    def write(self, shard, to, only=None):
        """Writes a shard's arrays with its chunks and filters; the flush is timed by itself."""
        values = self.values(shard)
        names = [only] if only else list(values)
        with self.h5py.File(shard) as source, Watch() as watch:
            with self.h5py.File(to, "w", libver="latest") as file:
                for name in names:
                    plain_dataset(file, name, values[name], source[name])
        return self.written(to, names, values, watch)

    def write_tensors(self, shard, to):
        from safetensors.numpy import save_file

        values = self.values(shard)
        with Watch() as watch:
            save_file(values, to)
        return self.written(to, list(values), values, watch)

    @staticmethod
    def written(to, names, values, watch):
        with Watch() as flushing:
            flush(to)
        size = os.path.getsize(to)
        os.unlink(to)
        return watch.answer(
            flush=flushing.seconds, file=size, bytes=sum(values[name].nbytes for name in names))

    def random(self, shard, count):
        """Random examples of one open file."""
        times = []
        with self.h5py.File(shard) as file:
            offsets, tokens = file["row_offsets"][...], file["token_offsets"][...]
            data = [file[name] for name in ARRAYS]
            for _ in range(count):
                i = random.randrange(len(offsets) - 1)
                start = time.perf_counter()
                for array in data:
                    array[offsets[i]:offsets[i + 1]]
                file["token_ids"][tokens[i]:tokens[i + 1]]
                times.append(time.perf_counter() - start)
        return quantiles(times)


def read_share(arguments):
    import h5py
    import hdf5plugin  # noqa: F401

    file, array, part, parts = arguments
    with h5py.File(file) as opened:
        data = opened[array]
        edge = [len(data) * i // parts // data.chunks[0] * data.chunks[0] for i in range(parts)]
        rows = np.s_[edge[part]:(edge + [len(data)])[part + 1]]
        whole = SHARE.get(arguments)
        if whole is None:
            for other in [key for key in SHARE if key[:2] != arguments[:2]]:
                del SHARE[other]
            whole = SHARE[arguments] = np.ones((rows.stop - rows.start, *data.shape[1:]), data.dtype)
        data.read_direct(whole, rows, np.s_[0:len(whole)])
        return whole.size * data.id.get_type().get_size()


SHARE = {}


def quantiles(times):
    times = sorted(times)
    return {"median": times[len(times) // 2], "p99": times[int(0.99 * len(times))]}


class Streaming:
    """MosaicML Streaming: an example is a sample, its arrays are columns."""

    def __init__(self):
        import streaming

        self.streaming = streaming
        streaming.base.util.clean_stale_shared_memory()
        self.samples = {}

    def examples(self, shard):
        """The samples of one of our shards, in the types in which we store them."""
        if shard in self.samples:
            return self.samples[shard]
        source = Plain().values(shard)
        rows, tokens = source["row_offsets"].astype(int), source["token_offsets"].astype(int)
        text, cuts = source["text/bytes"].tobytes(), source["text/offsets"].astype(int)
        made = []
        for i in range(len(rows) - 1):
            part = np.s_[rows[i]:rows[i + 1]]
            made.append({
                "id": source["example_id"][i].tobytes().hex(),
                "prompt": text[cuts[3 * i]:cuts[3 * i + 1]].decode(),
                "response": text[cuts[3 * i + 2]:cuts[3 * i + 3]].decode(),
                "tokens": source["token_ids"][tokens[i]:tokens[i + 1]],
                "start": int(source["supervised"][i, 0]),
                "hidden": source["hidden/final"][part],
                "topk_ids": source["logits/topk_ids"][part],
                "topk_logprobs": source["logits/topk_logprobs"][part],
                "log_partition": source["logits/log_partition"][part]})
        self.samples = {shard: made}
        return made

    def write(self, shards, to, compression=None):
        watch, count = Watch(), 0
        shutil.rmtree(to, ignore_errors=True)
        # Made before the clock runs.
        parts = [self.examples(shards[0])] if len(shards) == 1 else map(self.examples, shards)
        writer = self.streaming.MDSWriter(out=to, columns=COLUMNS, compression=compression)
        for samples in parts:
            count += sum(size(sample) for sample in samples)
            with watch:
                for sample in samples:
                    writer.write(sample)
        with watch:
            writer.finish()
        files = glob.glob(to + "/*")
        with Watch() as flushing:
            for file in files:
                flush(file)
        return watch.answer(
            flush=flushing.seconds, bytes=count, file=sum(map(os.path.getsize, files)))

    def dataset(self, local, shuffle):
        return self.streaming.StreamingDataset(
            local=local, shuffle=shuffle, batch_size=32, shuffle_algo="py1e")

    def epoch(self, local, workers=0, shuffle=True, limit=1e9, packed=False):
        """An epoch by iteration, with the DataLoader's processes where there are any.

        `packed`: from compressed files, in a directory of its own since unpacked ones are kept.
        """
        if packed:
            copy = local + "-unpacked"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(local, copy)
            local = copy
        data = self.dataset(local, shuffle)
        source = data
        if workers:
            from torch.utils.data import DataLoader
            source = DataLoader(data, batch_size=32, num_workers=workers, collate_fn=list)
        examples = count = 0
        first = None
        start = time.perf_counter()
        with Watch() as watch:
            for got in source:
                first = first or time.perf_counter() - start
                for sample in got if workers else [got]:
                    examples += 1
                    count += size(sample)
                if time.perf_counter() - start > limit:
                    break
            del source, data
        self.streaming.base.util.clean_stale_shared_memory()
        if packed:
            shutil.rmtree(local, ignore_errors=True)
        return watch.answer(examples=examples, bytes=count, first=first, peak=peak_bytes())

    def items(self, local, count=0, shuffled=True):
        """Samples by number: all of them, or some at random."""
        data = self.dataset(local, False)
        order = list(range(len(data)))
        if shuffled:
            random.shuffle(order)
        data[0]
        times, total = [], 0
        with Watch() as watch:
            for i in order[:count or len(order)]:
                start = time.perf_counter()
                sample = data[i]
                times.append(time.perf_counter() - start)
                total += size(sample)
        del data
        self.streaming.base.util.clean_stale_shared_memory()
        return watch.answer(examples=len(times), bytes=total, **quantiles(times))


def size(sample):
    """Bytes of an example's arrays."""
    return (sample["hidden"].nbytes + sample["topk_ids"].nbytes + sample["topk_logprobs"].nbytes
            + sample["log_partition"].nbytes + sample["tokens"].nbytes)


def peak_bytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def serve(name):
    out, sys.stdout = sys.stdout, sys.stderr
    side = {"plain": Plain, "streaming": Streaming}[name]()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(side, request.pop("what"))(**request)
        print(json.dumps(answer), file=out, flush=True)
    if name == "plain" and side.pool:
        side.pool.terminate()


if __name__ == "__main__":
    serve(sys.argv[1])

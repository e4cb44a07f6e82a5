"""Holds a run's TensorBoard file against its metrics.jsonl, with TensorBoard's own reader.

    python reference/tensorboard_parity.py RUN_DIR

RUN_DIR is the output directory of a `retort distill`. Every number of metrics.jsonl that TensorBoard shows must
be there once, at its step, equal in float32, and nothing else. Exits 1 when not.
"""

import json
import pathlib
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SINGLE = [
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "share_of_peak",
    "seconds",
    "data_seconds",
    "memory_mib",
]


def expected(run):
    """(tag, step) -> float32 of every number."""
    want = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        metrics = json.loads(line)
        values = {f"train/{name}": value for name, value in metrics["losses"].items()}
        values |= {f"held_out/{name}": value for name, value in metrics.get("held_out", {}).items()}
        values |= {name: metrics[name] for name in SINGLE if metrics.get(name) is not None}
        for tag, value in values.items():
            want[tag, metrics["step"]] = np.float32(value)
    return want


def main():
    run = pathlib.Path(sys.argv[1])
    want = expected(run)
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    found = [
        ((tag, event.step), np.float32(event.value))
        for tag in accumulator.Tags()["scalars"]
        for event in accumulator.Scalars(tag)
    ]
    wrong = [f"{key}: {value} instead of {want.get(key)}" for key, value in found if want.get(key) != value]
    missing = [f"{key}: missing" for key in want.keys() - {key for key, _ in found}]
    twice = len(found) - len({key for key, _ in found})
    for line in (wrong + missing)[:20]:
        print(line)
    print(f"{len(want)} numbers of {len({tag for tag, _ in want})} curves: "
          f"{len(wrong)} wrong, {len(missing)} missing, {twice} there twice")
    sys.exit(bool(wrong or missing or twice or not want))


if __name__ == "__main__":
    main()

"""Makes Tests/DistillTests/Fixtures/tensorboard/events.tfevents: three events by TensorBoard's own writer.

    python reference/tensorboard_goldens.py
"""

import pathlib

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

TARGET = pathlib.Path(__file__).parent.parent / "Tests/DistillTests/Fixtures/tensorboard/events.tfevents"


def event(time, step=0, version=None, scalars=()):
    event = event_pb2.Event(wall_time=time)
    if step:
        event.step = step
    if version:
        event.file_version = version
    if scalars:
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
        event.summary.CopyFrom(summary_pb2.Summary(value=values))
    return event


def main():
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with open(TARGET, "wb") as file:
        writer = RecordWriter(file)
        for it in [
            event(1_700_000_000.25, version="brain.Event:2"),
            event(1_700_000_001.5, 1, scalars=[("train/ce", 4.25), ("clip", -0.1)]),
            event(1_700_000_002.0, 300_000, scalars=[("lang/" * 40, 1e-30)]),
        ]:
            writer.write(it.SerializeToString())
        writer.flush()


if __name__ == "__main__":
    main()

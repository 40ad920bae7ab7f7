"""Reading logs: how fast, beside TensorBoard's own reader, and what comes of damaged files.

CPU seconds in one process. `python benchmarks/readers.py [--scalars 1000000] [--fuzz 10000]`
"""

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import surefoot as sf
from surefoot.errors import InputError
from surefoot.records import Curve, RunWriter

TAGS = 5
SECONDS = 10
"""A file that takes longer hangs."""


def timed(act):
    started = time.process_time()
    result = act()
    return result, time.process_time() - started


def tensorboard_file(folder, scalars):
    from torch.utils.tensorboard import SummaryWriter

    values = np.random.default_rng(0).standard_normal(scalars // TAGS)
    with SummaryWriter(folder) as writer:
        for step, value in enumerate(values.tolist()):
            for tag in range(TAGS):
                writer.add_scalar(f"train/value{tag}", value + tag, step)


def tensorboard(scalars):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tempfile.TemporaryDirectory() as folder:
        tensorboard_file(folder, scalars)
        log, ours = timed(lambda: sf.read(folder))
        theirs, seconds = timed(lambda: EventAccumulator(folder, {"scalars": 0}).Reload())
        default = EventAccumulator(folder).Reload()
        kept = sum(len(default.Scalars(tag)) for tag in default.Tags()["scalars"])
        for tag in theirs.Tags()["scalars"]:
            events = theirs.Scalars(tag)
            assert [each.step for each in events] == log[tag].steps.tolist()
            assert [each.value for each in events] == log[tag].values.tolist()
    total = sum(map(len, log.curves.values()))
    print(f"TensorBoard, {total:,} scalars: ours {ours:.2f} s, EventAccumulator {seconds:.2f} s, "
          f"values identical; by default it keeps {kept:,}")  # fmt: skip


def own(rows):
    with tempfile.TemporaryDirectory() as folder:
        names = ("loss", "lr", "grad_norm", "update_ratio")
        with RunWriter(f"{folder}/run") as writer:
            for start in range(0, rows, 1000):
                steps = np.arange(start, start + 1000)
                for name in names:
                    writer.add_many(name, steps, np.sqrt(steps))
        log, seconds = timed(lambda: sf.read(f"{folder}/run"))
        assert all(len(log[name]) == rows for name in names)
        print(f"own record, {rows:,} rows of {len(names)}: {seconds:.2f} s")
        curve = Curve(np.arange(rows), np.random.default_rng(0).standard_normal(rows))
        curve.thin(2000)
        _, seconds = timed(lambda: [curve.thin(2000) for _ in range(10)])
        print(f"down-sampling {rows:,} points to 2,000: {100 * seconds:.1f} ms")
        lines = Path(folder, "log.csv")
        table = [f"{n},{n**0.5},0.1\n" for n in range(rows)]
        lines.write_text("step,loss,lr\n" + "".join(table))
        print(f"CSV, {rows:,} rows of 2: {timed(lambda: sf.read(lines))[1]:.2f} s")
        lines = Path(folder, "log.jsonl")
        lines.write_text(
            "".join(json.dumps({"step": n, "loss": n**0.5}) + "\n" for n in range(rows))
        )
        print(f"JSON lines, {rows:,} rows of 1: {timed(lambda: sf.read(lines))[1]:.2f} s")


def samples(folder):
    """Return real files by what they are called."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.records.test_foreign import files

    found = dict(files())
    tensorboard_file(folder / "tb", 500)
    found["events.out.tfevents.1"] = next((folder / "tb").iterdir()).read_bytes()
    with RunWriter(folder / "own") as writer:
        for step in range(200):
            writer.add_row(step, {"loss": 1.0 / (step + 1), "lr": 0.1})
    found["run.sqlite"] = (folder / "own" / "run.sqlite").read_bytes()
    found["metric of MLflow"] = b"".join(b"1700000000000 %f %d\n" % (n / 7, n) for n in range(50))
    return found


def mutated(content, rng):
    content = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(content) + 1)
        act = rng.choice(("flip", "cut", "insert", "repeat", "zero"))
        if act == "flip" and at < len(content):
            content[at] ^= rng.randint(1, 255)
        elif act == "cut":
            del content[at : at + rng.randint(1, 200)]
        elif act == "insert":
            content[at:at] = rng.randbytes(rng.randint(1, 30))
        elif act == "repeat":
            content[at:at] = content[at : at + rng.randint(1, 300)]
        else:
            content[at : at + 8] = bytes(8)
    return bytes(content)


def fuzz(count):
    def too_long(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_long)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, content in samples(folder).items():
            read = refused = 0
            longest, before = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for number in range(count):
                file = folder / "fuzz" / kind
                if kind.startswith("metric"):
                    file = folder / "fuzz" / "metrics" / "loss"
                    (folder / "fuzz" / "meta.yaml").parent.mkdir(parents=True, exist_ok=True)
                    (folder / "fuzz" / "meta.yaml").write_text("run_name: a\n")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(mutated(content, rng) if number else content)
                started = time.perf_counter()
                signal.alarm(SECONDS)
                try:
                    sf.read(folder / "fuzz" if kind.startswith("metric") else file)
                    read += 1
                except InputError:
                    refused += 1
                finally:
                    signal.alarm(0)
                longest = max(longest, time.perf_counter() - started)
                file.unlink()
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(
                f"{kind}: {count:,} damaged files, {read:,} read, {refused:,} refused, at most "
                f"{longest:.2f} s each, memory grew by {grown:.0f} MiB",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scalars", type=int, default=1_000_000)
    parser.add_argument("--fuzz", type=int, default=10_000)
    given = parser.parse_args()
    own(given.scalars)
    tensorboard(given.scalars)
    fuzz(given.fuzz)


if __name__ == "__main__":
    main()

"""``kill -9`` of watched trainings at random moments, while another process reads their record.

Never a record that cannot be read or has a gap, and what is lost is what the last seconds would
have flushed. `python benchmarks/crash.py [--kills 50]`
"""

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import surefoot as sf
from surefoot.errors import LogError

TRAINING = """
import sys, time, torch, surefoot as sf
torch.set_num_threads(1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(16, 4)
watch = sf.watch(model, optimizer, to=sys.argv[1], every=5)
update = 0
while True:
    loss = (model(x) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    watch.step(float(update))
    update += 1
    if update % 20 == 0:
        print(update, time.time(), flush=True)
"""


def check(folder):
    """Return how many updates the record has; it must have each of them, and no other."""
    log = sf.read(folder)
    loss = log.get("loss")
    count = 0 if loss is None else len(loss)
    if count:
        assert np.array_equal(loss.steps, np.arange(count)), "a gap"
        assert np.array_equal(loss.values, np.arange(count)), "another value"
        assert len(log["lr"]) == count, "a row in part"
    return count


def kill_one(folder, rng):
    """Train, read all the while, kill; return how many seconds of training were lost."""
    told = folder.with_suffix(".txt")
    with told.open("w") as stream:
        child = subprocess.Popen([sys.executable, "-c", TRAINING, str(folder)], stdout=stream)
    try:
        while not told.stat().st_size:
            time.sleep(0.01)
        end, reads = time.time() + rng.uniform(0, 4), 0
        while time.time() < end:
            try:
                check(folder)
                reads += 1
            except LogError as error:
                if "empty run" not in str(error):
                    raise
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    lines = [line.split() for line in told.read_text().splitlines() if line.count(" ") == 1]
    kept = check(folder)
    with sqlite3.connect(folder / "run.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    last = float(lines[-1][1])
    return last - max((float(at) for count, at in lines if int(count) <= kept), default=last), reads


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    kills = parser.parse_args().kills
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        found = [kill_one(Path(name, f"run{number}"), rng) for number in range(kills)]
    lost = [seconds for seconds, _ in found]
    print(
        f"{kills} kills, {sum(reads for _, reads in found):,} reads beside the writing: no damaged "
        f"record, no gap; {np.median(lost):.2f} s of training lost, at most {max(lost):.2f}"
    )


if __name__ == "__main__":
    main()

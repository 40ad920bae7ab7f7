"""Members in two processes against two plain ones, and what a member costs in the loop.

``processes.py`` trains the same members by ``Processes(2)`` (workers up, and from cold) and by two
``python -c`` scripts, each of which loops over half of them in plain torch with one thread and
times itself without its imports. Blocks alternate; a figure is the median of the blocks, with the
least and the greatest. ``processes.py loop`` compares the loop with one written by hand, in seconds
of the processor, member by member in turn, and shows what it takes to record the losses alone.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

import surefoot as sf
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.loop import Loop, as_member
from surefoot._engine.backends.processes import Processes

BLOCKS = 6
LRS = [10 ** (-4 + number / 3) for number in range(8)]
SEEDS = (0, 1)
WIDTH, BATCH, STEPS = 256, 64, 400

PLAIN = f"""
import sys, time, torch
from torch import nn
torch.set_num_threads(1)
data = [(torch.randn({BATCH}, 64), torch.randn({BATCH}, 1)) for _ in range(20)]
input()
start, busy = time.perf_counter(), time.process_time()
for text in sys.argv[1:]:
    lr, seed = text.split(",")
    torch.manual_seed(int(seed))
    model = nn.Sequential(nn.Linear(64, {WIDTH}), nn.ReLU(), nn.Linear({WIDTH}, {WIDTH}), nn.ReLU(),
                          nn.Linear({WIDTH}, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=float(lr))
    losses = []
    for step in range({STEPS}):
        x, y = data[step % 20]
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
print(time.perf_counter() - start, time.process_time() - busy)
"""


def network():
    return nn.Sequential(
        nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )


def a_trial(steps=STEPS, model=network):
    generator = torch.Generator().manual_seed(0)

    def draw(width):
        return torch.randn(BATCH, width, generator=generator)

    return sf.Trial(
        model=model,
        optimizer=lambda model, lr: torch.optim.Adam(model.parameters(), lr=lr),
        train=[(draw(64), draw(1)) for _ in range(20)],
        loss=nn.functional.mse_loss,
        steps=steps,
    )


def silent(updates, new):
    """Report nothing."""


def busy_seconds():
    """Return the seconds of the processor that this process and its workers have had."""
    own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    words = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in own]
    ticks = sum(int(each[11]) + int(each[12]) for each in words)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def by_processes():
    """Return (seconds, seconds of the processor)."""
    start, busy = time.perf_counter(), busy_seconds()
    members = Processes(2).run(Job(a_trial(), PAIRS), silent)
    seconds = time.perf_counter() - start, busy_seconds() - busy
    if any(member.error or member.diverged for member in members):
        raise RuntimeError("a member failed")
    return seconds


PAIRS = [(lr, seed) for seed in SEEDS for lr in LRS]


def by_hand():
    """Return the same of two plain processes that begin at once: the longer, and the sum."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    halves = (PAIRS[::2], PAIRS[1::2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PLAIN, *(f"{lr},{seed}" for lr, seed in half)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for half in halves
    ]
    time.sleep(6)  # both have loaded torch and wait for their line
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [map(float, process.communicate()[0].split()) for process in processes]
    seconds, busy = zip(*said, strict=True)
    return max(seconds), sum(busy)


def spread(values):
    return f"{statistics.median(values):.3g} ({min(values):.3g} … {max(values):.3g})"


def throughput():
    print(f"{len(PAIRS)} members of {STEPS} updates, load at the start {os.getloadavg()[0]:.2f}")
    cold, _ = by_processes()
    blocks = []
    for _ in range(BLOCKS):
        blocks.append((by_processes(), by_hand()))
        (ours, mine), (theirs, yours) = blocks[-1]
        load = os.getloadavg()[0]
        print(f"  {ours:.2f} s ({mine:.2f} busy), {theirs:.2f} s ({yours:.2f}), load {load:.2f}")
    print("seconds by Processes(2), workers up:", spread([ours[0] for ours, _ in blocks]))
    print(f"seconds by Processes(2), from cold:  {cold:.3g}")
    print("seconds by two plain processes:     ", spread([theirs[0] for _, theirs in blocks]))
    ratios = [[theirs[kind] / ours[kind] for ours, theirs in blocks] for kind in (0, 1)]
    print("throughput, ours ÷ theirs:          ", spread(ratios[0]))
    print("the same in seconds of the processor, where others use it too:", spread(ratios[1]))


def tiny():
    return nn.Linear(64, 1)


def plain_loop(trial, lr, seed):
    torch.manual_seed(seed)
    model = trial.model()
    optimizer = trial.optimizer(model, lr)
    losses = []
    for step in range(trial.steps):
        x, y = trial.train[step % 20]
        loss = trial.loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-max(1, len(losses) // 10) :])


def loop_overhead():
    """Show what the loop takes beyond the same loop by hand, for members of several lengths."""
    medians = {}
    print(f"load {os.getloadavg()[0]:.2f}; ms of a member, by hand and beyond that:")
    for steps in (1, 101, 201):
        trial = a_trial(steps, tiny)
        hand, extra = [], []
        for _ in range(40):
            start = time.process_time()
            Loop().run(Job(trial, [(lr, 0) for lr in LRS]), silent)
            middle = time.process_time()
            for lr in LRS:
                plain_loop(trial, lr, 0)
            hand.append((time.process_time() - middle) / len(LRS) * 1e3)
            extra.append((middle - start) / len(LRS) * 1e3 - hand[-1])
        medians[steps] = statistics.median(extra)
        print(f"  {steps:4d} updates: {spread(hand)}, {spread(extra)}")
    print(f"  for 100 updates more: {(medians[201] - medians[1]) / 2:.3f}")


def recording():
    """Show what it takes to keep losses and to put them into the member, against keeping none."""
    medians = {}
    for count in (0, 100, 1000):
        values = [1.0 + number / 7 for number in range(count)]
        blocks = []
        for _ in range(40):
            start = time.process_time()
            for _ in range(100):
                losses = []
                for value in values:
                    losses.append(value)  # noqa: PERF402  one by one, as a training does
                as_member(0.1, 0, losses, 1.0)
            blocks.append((time.process_time() - start) / 100 * 1e3)
        medians[count] = statistics.median(blocks)
    for count in (100, 1000):
        extra = medians[count] - medians[0]
        print(f"ms to record {count} losses: {extra:.4f}, for each 100: {extra * 100 / count:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["loop"]:
        loop_overhead()
        recording()
    else:
        throughput()

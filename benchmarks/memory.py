"""The memory that a member of a stack is predicted to need against what the process came to hold.

    python benchmarks/memory.py

Each stack trains in a process of its own for four updates, as it is and compiled: then one update
is made both ways. Measured is the growth of the process's peak (Linux's VmHWM) from 8 members to
24, for each of the 16 that came to it.
"""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import torch
from sweep_speed import ADAM, SGD, TASKS, by_word, cross_entropy, images
from torch import nn

import surefoot as sf
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shard
from surefoot._engine.backends.room import needed

FEW, MANY = 8, 24


def deep():
    layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def texts():
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(64, (2, 256, 32), generator=generator))]


def wider():
    return nn.Sequential(nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.Linear(2048, 10))


MODELS = {
    "deep CNN with BatchNorm": (deep, images, cross_entropy),
    "transformer, 256 texts": (TASKS["transformer"][0], texts, by_word),
    "MLP 2,048 wide": (wider, TASKS["MLP"][1], cross_entropy),
}


def trial_of(name, optimizer):
    model, batches, loss = MODELS[name]
    return sf.Trial(model=model, optimizer=optimizer, loss=loss, train=batches(), steps=9)


def peak(name, optimizer, count, way):
    """Train a stack in this process and print the most that it held, in bytes."""
    torch.set_num_threads(1)
    lrs = [1e-4 * (1 + i) for i in range(count)]
    job, compiled = Job(trial_of(name, optimizer), [(lr, 0) for lr in lrs]), way == "compiled"
    shard = Shard(job, lrs, 0, to_compile=compiled)
    if compiled:
        shard.compile()
    shard.advance(4)
    assert shard.refusal == "", shard.refusal
    print(1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]))


OPTIMIZERS = {"momentum": SGD, "Adam": ADAM}


def main():
    for name, kind in itertools.product(MODELS, OPTIMIZERS):
        job = Job(trial_of(name, OPTIMIZERS[kind]), [(1e-3, 0)])
        room = needed(job, torch.device("cpu"))
        for way, predicted in (("fused", room.peak), ("compiled", room.checked)):
            held = [
                int(subprocess.check_output([sys.executable, __file__, name, kind, str(k), way]))
                for k in (FEW, MANY)
            ]
            measured = (held[1] - held[0]) / (MANY - FEW)
            print(
                f"{name:24} {kind:9} {way:9} predicted {predicted / 2**20:7.1f} MiB,"
                f" measured {measured / 2**20:7.1f} MiB: {predicted / measured:.2f} of it",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        of, kind, count, way = sys.argv[1:]
        peak(of, OPTIMIZERS[kind], int(count), way)
    else:
        main()

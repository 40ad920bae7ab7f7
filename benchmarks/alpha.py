"""What α̂ says of runs whose learning rate is known to be wrong, as ``watch`` records it.

Four tasks, 400 updates of batches of 32, two seeds; the best rate comes from a grid of two per
decade, faults are relative to it. α̂ is the ratio of the sums of the slopes over the last three
quarters of a run (of the last half where the rate jumps half-way). `python benchmarks/alpha.py`
"""

import math
import statistics
import tempfile

import numpy as np
import torch
from sklearn import datasets
from torch import nn

import surefoot as sf

UPDATES, BATCH, SEEDS = 400, 32, (0, 1)


def digits():
    data = datasets.load_digits()
    x = torch.tensor(data.data, dtype=torch.float32) / 16
    return x - x.mean(0), torch.tensor(data.target)


def regression():
    x = torch.randn(1000, 10, generator=torch.Generator().manual_seed(7))
    return x, torch.sin(x.sum(1, keepdim=True))


def mlp():
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def tanh():
    return nn.Sequential(
        nn.Linear(10, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1)
    )


def momentum(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


TASKS = {
    "digits MLP, momentum": (digits, mlp, momentum),
    "digits MLP, Adam": (digits, mlp, torch.optim.Adam),
    "digits CNN, momentum": (digits, cnn, momentum),
    "regression MLP, SGD": (regression, tanh, torch.optim.SGD),
}


def constant(_t):
    return 1.0


FAULTS = {
    "healthy": constant,
    "healthy, half the rate": lambda _t: 0.5,
    "healthy, cosine": lambda t: (1 + math.cos(math.pi * t / UPDATES)) / 2,
    "jump up × 300 in the middle": lambda t: 1.0 if t < UPDATES // 2 else 300.0,
    "too low, ÷ 300": lambda _t: 1 / 300,
    "decayed too early": lambda t: 1.0 if t < UPDATES // 5 else 1e-3,
    "far too high, × 100": lambda _t: 100.0,
}


def train(task, lr, factor, seed, folder=None):
    """Return the mean loss of the last tenth and, where it is watched, the record."""
    data, make, optimizer_of = TASKS[task]
    x, y = data()
    torch.manual_seed(seed)
    model = make()
    optimizer = optimizer_of(model.parameters(), lr)
    draw = torch.Generator().manual_seed(seed)
    loss_of = nn.functional.mse_loss if y.is_floating_point() else nn.functional.cross_entropy
    watch = None if folder is None else sf.watch(model, optimizer, to=folder, every=1)
    losses = []
    for t in range(UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = lr * factor(t)
        chosen = torch.randint(0, len(x), (BATCH,), generator=draw)
        loss = loss_of(model(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if watch is not None:
            watch.step(loss)
    if watch is not None:
        watch.close()
    ended = float(np.mean(losses[-UPDATES // 10 :]))
    return ended if math.isfinite(ended) else math.inf, watch and sf.read(watch.path)


def best(task):
    grid = sf.grid(1e-4, 10, per_decade=2)
    return min(grid, key=lambda lr: np.mean([train(task, lr, constant, seed)[0] for seed in SEEDS]))


def alpha(log, start):
    before = log[start:]["slope_before"]
    after = log[start:]["slope_after"]
    there = np.isfinite(before.values) & np.isfinite(after.values)
    total = before.values[there].sum()
    return -after.values[there].sum() / total if total else math.nan


def main():
    torch.set_num_threads(1)
    rates = {task: best(task) for task in TASKS}
    print("best rates:", ", ".join(f"{task} {rate:.2g}" for task, rate in rates.items()))
    print("| condition | α̂, median | least … most | final loss ÷ first, median |")
    print("|---|--:|--:|--:|")
    for name, factor in FAULTS.items():
        start = UPDATES // 2 if "jump" in name else UPDATES // 4
        found, ended = [], []
        for task, rate in rates.items():
            for seed in SEEDS:
                loss, log = train(task, rate, factor, seed, f"{tempfile.mkdtemp()}/run")
                value = alpha(log, start)
                if math.isfinite(value):
                    found.append(value)
                ended.append(loss / log["loss"].values[0])
        print(
            f"| {name} ({len(found)}) | {statistics.median(found):.2f} | {min(found):.2f} … "
            f"{max(found):.2f} | {statistics.median(ended):.3g} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

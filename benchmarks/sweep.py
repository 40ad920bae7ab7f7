"""Fused members: how exact they are, and what their two ways to update cost.

Equal gradients: the loss is a sum of one quadratic per element, so that the gradient is the same
arithmetic alone and stacked; then the final parameters of 14 rates from 1e-5 to 10 after 200
updates are compared with torch.optim run one by one. Real gradients: curves of real models after
50 updates against the loop. Speed is CPU time, one thread, interleaved blocks.
"""

import dataclasses
import math
import os
import statistics
import time

import numpy as np
import tasks
import torch
from torch import nn, optim

import surefoot as sf
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shard

LRS = np.geomspace(1e-5, 10, 14).tolist()


class Weights(nn.Module):
    """Two matrices and a bias."""

    def __init__(self, bias):
        super().__init__()
        self.first = nn.Parameter(torch.randn(6, 5))
        self.second = nn.Parameter(torch.randn(5, 7))
        if bias:
            self.bias = nn.Parameter(torch.randn(7))


def bowls(model, batch):
    return sum(
        (0.06 * p * p + batch[i][: p.numel()].view(p.shape) * p).sum()
        for i, p in enumerate(model.parameters())
    )


def of(kind, **options):
    return lambda model, lr: kind(model.parameters(), lr=lr, **options)


OPTIMIZERS = {
    "SGD": of(optim.SGD),
    "SGD momentum": of(optim.SGD, momentum=0.9),
    "SGD Nesterov, weight decay": of(optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": of(optim.Adam),
    "AdamW": of(optim.AdamW, weight_decay=0.05),
    "RMSprop": of(optim.RMSprop),
    "Adagrad": of(optim.Adagrad),
    "Adadelta": of(optim.Adadelta),
    "NAdam": of(optim.NAdam),
    "RAdam": of(optim.RAdam),
    "Adamax": of(optim.Adamax),
    "Adafactor": of(optim.Adafactor),
    "Muon": of(optim.Muon),
    "Rprop": of(optim.Rprop),
    "ASGD": of(optim.ASGD, lambd=0.01),
}


def one_by_one(trial):
    found = []
    for lr in LRS:
        torch.manual_seed(0)
        model = trial.model()
        optimizer = trial.optimizer(model, lr)
        for update in range(trial.steps):
            optimizer.zero_grad()
            trial.objective(model, trial.train[update % len(trial.train)]).backward()
            optimizer.step()
        found.append([p.detach() for p in model.parameters()])
    return found


def stacked(trial, exact):
    shard = Shard(Job(trial, [(lr, 0) for lr in LRS], exact=exact), LRS, 0)
    shard.advance(trial.steps)
    if shard.exact != exact:
        return None
    return [[p.detach().clone() for p in shard.stack.member(k).parameters()] for k in range(14)]


def worst(alone, together, most):
    offs = [
        float((b - a).norm() / a.norm())
        for lr, one, other in zip(LRS, alone, together, strict=True)
        for a, b in zip(one, other, strict=True)
        if lr <= most
    ]
    return max(offs)


def equal_gradients():
    generator = torch.Generator().manual_seed(0)
    slopes = [[torch.randn(64, generator=generator) for _ in range(3)] for _ in range(20)]
    print("Equal gradients, 14 rates, 200 updates: parameters against torch one by one")
    print(f"{'':28}{'exact':>14}{'quick, lr ≤ 1':>15}{'lr ≤ 10':>10}")
    for name, optimizer in OPTIMIZERS.items():
        trial = sf.Trial(
            model=lambda bias=name != "Muon": Weights(bias),
            optimizer=optimizer,
            objective=bowls,
            train=slopes,
            steps=200,
        )
        alone = one_by_one(trial)
        exact = stacked(trial, True)
        same = all(
            torch.equal(a, b)
            for one, other in zip(alone, exact, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        quick = stacked(trial, False)
        low, high = ("–", "–")
        if quick is not None:
            low, high = (f"{worst(alone, quick, most):.1e}" for most in (1.0, 10.0))
        print(f"{name:28}{'bit-identical' if same else 'DIFFERENT':>14}{low:>15}{high:>10}")


def real_gradients():
    print("\nReal gradients: largest relative difference of the loss in the first 50 updates")
    trials = [*tasks.tuning_tasks(), *tasks.report_tasks()]
    for trial in trials:
        for double in (False, True):
            short = dataclasses.replace(trial, steps=50, validate=None)
            if double:
                short = in_double(short)
            curves = {
                backend: sf.sweep(
                    short, LRS, seeds=1, backend=backend, exact=True, progress=False
                ).members
                for backend in ("loop", "fused")
            }
            offs = [
                apart(a.curve.values, b.curve.values)
                for a, b in zip(curves["loop"], curves["fused"], strict=True)
                if math.isfinite(a.loss)
            ]
            within = [lr for lr, off in zip(LRS, offs, strict=False) if off <= 1e-5]
            kind = "double" if double else "single"
            print(
                f"  {trial.name:32} {kind}  within 1e-5 at {len(within):2} of {len(offs)} rates,"
                f" up to {max(within, default=0):.2g}; worst {max(offs):.0e}"
            )


def apart(alone, together):
    """Return the largest difference, relative to the loss; one of 0 counts as 1e-6 of the first."""
    return float(np.max(np.abs(together - alone) / np.maximum(np.abs(alone), 1e-6 * alone[0])))


def in_double(trial):
    batches = [
        tuple(t.double() if t.is_floating_point() else t for t in batch) for batch in trial.train
    ]
    return dataclasses.replace(trial, model=lambda: trial.model().double(), train=batches)


def speed():
    print("\nµs of CPU for one update of one member (one thread, the least of 5 blocks)")
    print(f"{'width':>8}{'optimizer':>10}{'K':>4}{'loop':>8}{'exact':>8}{'quick':>8}")
    sgd, adam = of(optim.SGD, momentum=0.9), of(optim.Adam)
    for width in (32, 128, 512, 1024):
        for name, optimizer in (("SGD", sgd), ("Adam", adam)):
            for count in (8, 32):
                loop, exact, quick = times(width, optimizer, count)
                print(f"{width:8}{name:>10}{count:4}{loop:8.0f}{exact:8.0f}{quick:8.0f}")


def times(width, optimizer, count):
    trial = sf.Trial(
        model=lambda: nn.Sequential(
            nn.Linear(64, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 10),
        ),
        optimizer=optimizer,
        train=[(torch.randn(64, 64), torch.randint(10, (64,)))],
        loss=nn.functional.cross_entropy,
        steps=100_000,
    )
    lrs = np.geomspace(1e-5, 1e-3, count).tolist()
    runs = [Shard(Job(trial, [(lr, 0) for lr in lrs], exact=e), lrs, 0) for e in (True, False)]
    alone = sf_training(trial)
    updates = max(2, 20 // (1 + width // 128))
    found = [[], [], []]
    for _ in range(5):
        for index, advance in enumerate(
            (lambda: alone(updates * 4), *(lambda r=r: r.advance(updates) for r in runs))
        ):
            started = time.process_time()
            advance()
            members = updates * (4 if index == 0 else count)
            found[index].append(1e6 * (time.process_time() - started) / members)
    return [min(each) for each in found]


def sf_training(trial):
    from surefoot._engine.batches import Batches
    from surefoot._engine.training import Training

    training = Training(trial, 1e-4, 0, Batches(trial.train, 0))
    return lambda updates: training.advance(updates, lambda _: 1.0)


def chosen():
    print("\nWhat auto takes: whole sweeps of 13 rates × 2 seeds, 200 updates, seconds")
    for trial in [*tasks.tuning_tasks(), *tasks.report_tasks()]:
        short = dataclasses.replace(trial, steps=200)
        seconds, took = {}, ""
        for backend in ("auto", "loop", "fused"):
            blocks = []
            for _ in range(3):
                started = time.process_time()
                result = sf.sweep(
                    short, sf.grid(1e-4, 1, 3), seeds=2, backend=backend, progress=False
                )
                blocks.append(time.process_time() - started)
            seconds[backend] = statistics.median(blocks)
            if backend == "auto":
                took = result.engine.backend
        print(
            f"  {trial.name:32} auto {seconds['auto']:5.2f} ({took}), loop {seconds['loop']:5.2f}, "
            f"fused {seconds['fused']:5.2f}"
        )


def main():
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}")
    equal_gradients()
    real_gradients()
    speed()
    chosen()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

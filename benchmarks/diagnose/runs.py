"""Trainings with known faults of the learning rate, and without, under watch.

    python benchmarks/diagnose/runs.py [--workers 2] [part of a name …]

The workloads and their split are those of ``benchmarks/find``: what is tuned there is tuned here,
what is reported there is reported here. Each is trained at rates from a thousandth to a hundred
times its best one (which the surfaces of ``benchmarks/find`` know), through schedules, with faults
that begin midway, and with what is no fault of the rate: a bad batch, noisy labels, few data, data
that change or come in order. What each run *is* is measured, not meant: see :func:`label`.

Logs go to ``runs/``, a file for each workload; what is there already is left alone.
"""

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import warnings
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "find"))

import run as finding
import workloads

import surefoot as sf
from surefoot._engine.batches import Batches
from surefoot._engine.training import Training, untrained_loss
from surefoot.schedules import schedule as read_schedule

FOLDER = Path(__file__).parent / "runs"
EVERY, VALIDATIONS = 5, 20
"""Pairs of updates are measured so often; the validation set is gone through so many times."""

FAULT, HEALTHY = 0.10, 0.03
"""A run is at fault if its loss is this share above the best, healthy if it is not above that."""

OFFSETS = (-3, -2.5, -2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2)
SCHEDULES = {
    "cosine": "cosine()",
    "linear": "linear()",
    "warm-up, cosine": "warmup('8%') >> cosine(floor=0.05)",
    "stable, decay": "warmup('3%') >> hold() >> linear('25%')",
    "steps": "multi_step(['50%', '75%'])",
}
SIDES = (-0.5, 0.0, 0.5)


@dataclass(frozen=True)
class Plan:
    """One training to make.

    Args:
        kind: what is done to it.
        offset: log10 of its peak rate ÷ the best.
        seed: of weights, batches and noise.
        factors: a schedule, (start, factor) from an update on, or None.
        start: the update at which a fault begins; 0 without one.
        data: what is done to the data: "bad batch", "noisy", "few", "changed", "ordered".
        forgets: whether the optimizer loses its state at ``start``.
    """

    kind: str
    offset: float
    seed: int
    schedule: str = ""
    start: int = 0
    factor: float = 1.0
    data: str = ""
    forgets: bool = False


@dataclass
class Run:
    """What a training recorded, and what it ended with."""

    plan: Plan
    workload: str
    lr: float
    best_lr: float
    final: float
    trained: float
    curves: dict[str, tuple[Any, Any]] = field(default_factory=dict)


def plans(name, steps):
    """Return the trainings of one workload, the same whenever it is asked."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def when(low, high):
        return int(steps * rng.uniform(low, high))

    def near():
        return float(rng.choice((-0.3, 0.0, 0.0, 0.2)))

    found = [Plan("rate", offset, 0) for offset in OFFSETS]
    found += [Plan("rate", float(offset), 1) for offset in rng.uniform(-3, 2, 8)]
    for kind in rng.choice(list(SCHEDULES), 3, replace=False):
        found += [Plan(str(kind), offset, int(rng.integers(2)), SCHEDULES[str(kind)])
                  for offset in (0.0, 0.4)]  # fmt: skip
    for _ in range(3):
        factor = float(10 ** rng.uniform(1, 2.5))
        found.append(Plan("jump", near(), 2, start=when(0.3, 0.7), factor=factor))
        factor = float(10 ** rng.uniform(-3, -1.5))
        found.append(Plan("cut", near(), 2, start=when(0.06, 0.4), factor=factor))
    share = float(rng.uniform(0.08, 0.3))
    found.append(Plan("wrong unit", near(), 3, f"cosine({round(share * steps)}, floor=0.001)",
                      start=round(0.7 * share * steps)))  # fmt: skip
    every = max(2, round(steps * float(rng.uniform(0.03, 0.06))))
    found.append(Plan("wrong unit", near(), 3, f"step({every}, drop=0.4)", start=3 * every))
    found.append(Plan("forgets", near(), 3, start=when(0.4, 0.7), forgets=True))
    found.append(Plan("resumed at the peak", 0.2, 3, "cosine()", start=when(0.6, 0.85), factor=0.0))
    found += [Plan("bad batch", offset, 4, start=when(0.3, 0.8), data="bad batch")
              for offset in (0.0, 0.2)]  # fmt: skip
    for data in ("noisy", "few"):
        found += [Plan(data, offset, 5, data=data) for offset in SIDES]
    found.append(Plan("changed", 0.0, 6, start=when(0.4, 0.6), data="changed"))
    found.append(Plan("ordered", 0.0, 6, data="ordered"))
    return found


def factors_of(plan, steps, own):
    """Return the factor of each update."""
    factors = np.ones(steps)
    if plan.schedule or own:
        given = read_schedule(plan.schedule or own).resolve(steps)
        factors = np.array([float(given(t)) for t in range(steps)])
    if plan.kind == "resumed at the peak":
        factors[plan.start :] = factors[: steps - plan.start]
    elif plan.kind in ("jump", "cut"):
        factors[plan.start :] *= plan.factor
    return factors


class Altered:
    """Batches, some of which are changed; see :class:`Plan`."""

    def __init__(self, batches, plan, few):
        self._batches, self._plan, self._few = batches, plan, few

    def __getitem__(self, number):
        data, start = self._plan.data, self._plan.start
        batch = self._batches[number % self._few if data == "few" else number]
        x, y = batch
        if data == "bad batch" and number == start:
            return (20 * x, y) if x.is_floating_point() else (x.flip(0), y.roll(1, 0).flip(-1))
        if data == "noisy":
            rng = torch.Generator().manual_seed(number)
            hit = torch.rand(len(y), generator=rng) < 0.2
            y = y.clone()
            y[hit] = y[hit].roll(1, 0)
            return x, y
        if data == "changed" and number >= start:
            numbers = y.is_floating_point() and not x.is_floating_point()  # of users and items
            return (x, -y) if numbers else (x.roll(1, -1), y)
        return batch


def ordered(trial):
    """Return the trial with data that come nearly in the order of their targets."""
    x, y = trial.train.dataset.tensors
    key = y.reshape(len(y), -1)[:, 0].double()
    noise = torch.rand(len(key), generator=torch.Generator().manual_seed(0), dtype=torch.double)
    order = torch.argsort(key + 1.5 * float(key.max() - key.min()) * noise)
    loader = DataLoader(TensorDataset(x[order], y[order]), trial.train.batch_size, drop_last=True)
    return replace(trial, train=loader)


def make(workload, plan, best_lr):
    """Train under watch."""
    trial = replace(workload.trial, seed=plan.seed)
    factors = factors_of(plan, trial.steps, str(trial.schedule) if trial.schedule else "")
    if plan.data == "ordered":
        trial = ordered(trial)
    batches = Batches(trial.train, plan.seed)
    if plan.data:
        batches = Altered(batches, plan, few=max(2, len(trial.train) // 8))
    lr = best_lr * 10**plan.offset
    member = Training(trial, lr, plan.seed, batches)
    judged = max(1, trial.steps // VALIDATIONS)
    with (
        tempfile.TemporaryDirectory() as folder,
        sf.watch(member.model, member.optimizer, to=folder, every=EVERY) as watch,
    ):
        for update in range(trial.steps):
            if plan.forgets and update == plan.start:
                member.optimizer.state.clear()
            member.advance(1, lambda update: float(factors[update]))
            watch.step(member.losses[-1])
            if not member.finite:
                break
            if trial.validate is not None and update % judged == judged - 1:
                watch.validation(member.judge_on_the_way())
        watch.close()
        log = sf.read(watch.path)
        curves = {name: (log[name].steps, log[name].values) for name in KEPT if name in log}
    last = member.losses[-max(1, trial.steps // 10) :]
    trained = float(np.mean(last)) if member.finite else math.inf
    return Run(plan, workload.name, lr, best_lr, member.judge(), trained, curves)


KEPT = ("loss", "lr", "grad_norm", "update_ratio", "alpha", "validation_loss")


def path(name):
    plain = "".join(each if each.isalnum() else "-" for each in name.lower())
    return FOLDER / f"{plain}.npz"


def write(name):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    workload = workloads.WORKLOADS[name]
    judge = finding.Judge(workload)
    arrays, facts = {}, []
    for number, plan in enumerate(plans(name, workload.trial.steps)):
        run = make(workload, plan, judge.best)
        for curve, (steps, values) in run.curves.items():
            arrays[f"{number}/{curve}"] = np.array([steps, values], dtype=np.float32)
        facts.append({**vars(plan), "lr": run.lr, "final": run.final, "trained": run.trained})
    told = {"workload": name, "best_lr": judge.best, "steps": workload.trial.steps, "runs": facts}
    told["untrained"] = untrained_loss(workload.trial, 0, Batches(workload.trial.train, 0))
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(path(name), facts=np.array(json.dumps(told)), **arrays)
    return name


def read(name):
    """Return the facts of a workload's runs and, for each, its curves."""
    with np.load(path(name)) as stored:
        told = json.loads(str(stored["facts"]))
        curves = [{} for _ in told["runs"]]
        for key in stored.files:
            number, _, curve = key.partition("/")
            if curve:
                curves[int(number)][curve] = stored[key].astype(np.float64)
    return told, curves


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    names = [
        name
        for name in workloads.WORKLOADS
        if not path(name).exists() and (not given.names or any(n in name for n in given.names))
    ]
    with multiprocessing.get_context("spawn").Pool(given.workers, maxtasksperchild=1) as pool:
        for name in pool.imap_unordered(write, names):
            print(name, flush=True)


if __name__ == "__main__":
    main()

"""How the loss of each workload depends on the rate and on the budget, measured and stored.

    python benchmarks/find/surfaces.py [part of a name …]

For every rate of a grid with six per decade and five seeds, those that choose: the loss that a
training is judged by after 1, 1/√2, 1/2, … of the budget, and the mean training loss since the mark
before. With a schedule each mark is a training of its own, with the whole schedule in so many
updates. And for ten other seeds, those that judge: the loss after the whole budget, at the rates
that are not far from the best. Regrets are measured on the seeds that judge; the surfaces of the
tuning workloads are also what ``find`` learns from. What is in ``surfaces/`` already is left alone.
"""

import json
import math
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import workloads
from drawn import drawn

import surefoot as sf
from surefoot._engine.backends._backend import Job, UnfitError
from surefoot._engine.backends.fused import Shards
from surefoot._engine.backends.loop import _Trainings

FOLDER = Path(__file__).parent / "surfaces"
PER_DECADE, CHOOSING, JUDGING = 6, range(5), range(5, 15)
DRAWN = 4, range(2)
"""Rates per decade and seeds of the drawn trainings, which are only learned from."""


def marks(steps, scheduled):
    """Return the updates at which members are judged, ascending."""
    found = {round(steps * 2 ** (-k / 2)) for k in range(9 if scheduled else 11)}
    return sorted(each for each in found if each >= 4)


def of_drawn(workload):
    return workload.name.startswith("drawn")


def grid(workload):
    return sf.grid(*workload.rates, per_decade=DRAWN[0] if of_drawn(workload) else PER_DECADE)


def choosing(workload):
    return DRAWN[1] if of_drawn(workload) else CHOOSING


def constant(workload, seeds):
    """Return what members are judged by at each mark, and their training losses up to there."""
    lrs = [float(lr) for lr in grid(workload)]
    at = marks(workload.trial.steps, scheduled=False)
    judged, trained = (np.full((len(seeds), len(lrs), len(at)), np.inf) for _ in range(2))
    for row, seed in enumerate(seeds):
        job = Job(workload.trial, [(lr, seed) for lr in lrs])
        cohort = _cohort(job)
        for column, update in enumerate(at):
            before = at[column - 1] if column else 0

            def note(member, row=row, column=column, before=before):
                index = lrs.index(member.lr)
                judged[row, index, column] = member.loss
                losses = member.curve.values[before:]
                if len(losses):
                    trained[row, index, column] = np.mean(losses)

            cohort.advance(update, note)
    return lrs, at, judged, trained


def ends(workload, lrs, seeds):
    """Return what members are judged by after the whole budget [seed, rate]."""
    found = np.full((len(seeds), len(lrs)), np.inf)
    for row, seed in enumerate(seeds):
        if workload.trial.schedule is None:
            members = []
            job = Job(workload.trial, [(lr, seed) for lr in lrs])
            _cohort(job).advance(workload.trial.steps, members.append)
        else:
            trial = replace(workload.trial, seed=seed)
            members = sf.sweep(trial, lrs, seeds=1, workers=1, progress=False).members
        for member in members:
            found[row, lrs.index(member.lr)] = member.loss
    return found


def worth_judging(told, floor):
    """Return the rates at which the loss is not far from the best, and those beside them."""
    loss = np.array(told["loss"], dtype=float)[:, :, -1]
    mean = np.where(np.isnan(loss), np.inf, loss).mean(0)
    best, start = mean.min(), np.mean(told["untrained"])
    near = mean - best <= (1.0 if floor is not None else 0.5) * (
        best - floor if floor is not None else start - best
    )
    near |= mean - best <= 0.03 * (start - best)
    wide = near.copy()
    wide[1:] |= near[:-1]
    wide[:-1] |= near[1:]
    return [lr for lr, wanted in zip(told["lrs"], wide, strict=True) if wanted]


def _cohort(job):
    """Return the members stacked, where that goes and is quicker for a few updates."""
    best, quickest = None, math.inf
    for kind in (Shards, _Trainings):
        try:
            cohort = kind(job, lambda *_: None)
            started = time.perf_counter()
            cohort.advance(4, lambda _: None)
            spent = time.perf_counter() - started
        except UnfitError:
            continue
        if spent < quickest:
            best, quickest = kind, spent
    return best(job, lambda *_: None)


def scheduled(workload, seeds):
    """Return the same of trainings through the whole schedule, one for each mark."""
    lrs = [float(lr) for lr in grid(workload)]
    at = marks(workload.trial.steps, scheduled=True)
    judged, trained = (np.full((len(seeds), len(lrs), len(at)), np.inf) for _ in range(2))
    for column, update in enumerate(at):
        trial = replace(workload.trial, steps=update)
        for row, seed in enumerate(seeds):
            result = sf.sweep(replace(trial, seed=seed), lrs, seeds=1, workers=1, progress=False)
            for member in result.members:
                index = lrs.index(member.lr)
                judged[row, index, column] = member.loss
                trained[row, index, column] = np.mean(member.curve.values[-max(1, update // 3) :])
    return lrs, at, judged, trained


def untrained(workload, seeds):
    """Return what a model is judged by before its first update, for each seed."""
    trial, found = workload.trial, []
    for seed in seeds:
        result = sf.sweep(
            replace(trial, steps=1, seed=seed, schedule=None), [1e-12], seeds=1, progress=False
        )
        found.append(result.members[0].loss)
    return found


def measure(workload):
    made = constant if workload.trial.schedule is None else scheduled
    lrs, at, judged, trained = made(workload, choosing(workload))
    return {
        "workload": workload.name,
        "steps": workload.trial.steps,
        "lrs": lrs,
        "marks": at,
        "untrained": untrained(workload, choosing(workload)),
        "loss": _plain(judged),
        "training_loss": _plain(trained),
        "torch": torch.__version__,
    }


def judge(told, workload):
    lrs = worth_judging(told, workload.floor)
    return {"lrs": lrs, "loss": _plain(ends(workload, lrs, JUDGING))}


def _plain(array):
    """Return nested lists of five digits, null where a training diverged."""
    if array.ndim:
        return [_plain(each) for each in array]
    return float(f"{array:.5g}") if np.isfinite(array) else None


def path(name):
    return FOLDER / ("".join(c if c.isalnum() else "-" for c in name).lower() + ".json")


def read(name):
    """Return a stored surface, its losses as arrays [seed, rate, mark], inf where it diverged."""
    told = json.loads(path(name).read_text(encoding="utf-8"))
    parts = [(told, "loss"), (told, "training_loss"), (told.get("judged", {}), "loss")]
    for part, key in parts:
        if key not in part:
            continue
        array = np.array(part[key], dtype=float)
        part[key] = np.where(np.isnan(array), np.inf, array)
    return told


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    wanted = sys.argv[1:] or [""]
    for workload in [*workloads.WORKLOADS.values(), *drawn()]:
        name = workload.name
        file = path(name)
        if not any(each in name for each in wanted):
            continue
        told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if "judged" in told or (told and of_drawn(workload)):
            continue
        started = time.perf_counter()
        told = told or measure(workload)
        if of_drawn(workload):
            file.write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
            continue
        told["judged"] = judge(told, workload)
        file.write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
        losses = np.array(told["judged"]["loss"], dtype=float)
        means = np.where(np.isnan(losses), np.inf, losses).mean(0)
        best = int(means.argmin())
        print(
            f"{name:50} best {told['judged']['lrs'][best]:8.2g}  loss {means[best]:8.4g}  "
            f"{time.perf_counter() - started:5.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Make what ``find`` knows, src/surefoot/_find/learned.json, from the tuning surfaces.

    python benchmarks/find/learn.py

Each surface is placed where a range test expects its best rate: of each seed the depth of the loss,
in units of the deepest, over ln (rate ÷ expected rate) and ln (time ÷ budget); then the mean over
seeds. Nothing of the report's workloads is read.
"""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import surfaces
import torch
import workloads
from drawn import drawn

from surefoot._curves.forecast import CAP, Known, depth
from surefoot._engine.trial_probe import TrialProbe
from surefoot._find.library import first_guess
from surefoot._find.search import range_test

PLACE = Path(__file__).parents[2] / "src/surefoot/_find/learned.json"
OFFSETS = np.arange(-4, 2.51, 1 / surfaces.PER_DECADE) * math.log(10)
TIMES = -np.arange(11) * math.log(2) / 2


def expected(workload, seed):
    """Return the rate that the range test of a seed expects to be best."""
    probe = TrialProbe(replace(workload.trial, seed=seed, schedule=None))
    return first_guess(range_test(probe, lambda *_: None).reading, probe.default_lr)


def table(told, row, rate):
    """Return the depth of one seed over offsets and times."""
    losses = told["loss"][row]
    depths = depth(losses.ravel(), np.mean(told["untrained"])).reshape(losses.shape)
    depths = np.minimum(depths / -depths.min(), CAP)
    x, found = np.log(told["lrs"]) - math.log(rate), np.empty((len(OFFSETS), len(TIMES)))
    for column in range(len(TIMES)):
        values = depths[:, max(0, depths.shape[1] - 1 - column)]
        found[:, column] = np.interp(OFFSETS, x, values)
        below, above = x[0] > OFFSETS, x[-1] < OFFSETS
        found[below, column] = values[0] * np.exp(OFFSETS[below] - x[0])  # less in proportion
        found[above, column] = max(values[-1], min(CAP, values[-1] + 0.2))
    return found


def learned(workload):
    told = surfaces.read(workload.name)
    rates = [expected(workload, seed) for seed in surfaces.choosing(workload)]
    tables = [table(told, row, rate) for row, rate in enumerate(rates)]
    return {"name": workload.name, "depth": np.mean(tables, axis=0).round(3).tolist()}


def kind(workload):
    """Return what the rate does: all schedules of the workloads decay."""
    return "constant" if workload.trial.schedule is None else "decaying"


def without(name, group):
    """Return what is known without the trainings on the same data, to judge what it would find."""
    told = json.loads(PLACE.read_text(encoding="utf-8"))
    kept = [each["depth"] for each in told[group] if _data(each["name"]) != _data(name)]
    return Known(np.array(told["offsets"]), np.array(told["times"]), np.array(kept))


def _data(name):
    """Return on which data a workload trains: its first word; each drawn one has its own."""
    return name if name.startswith("drawn") else name.split()[0].strip(",")


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = {"constant": [], "decaying": []}
    for workload in [*workloads.tuning(), *drawn()]:
        if not surfaces.path(workload.name).exists():
            print(f"left out, as it was not measured: {workload.name}", flush=True)
            continue
        found[kind(workload)].append(learned(workload))
        print(workload.name, flush=True)
    axes = {"offsets": OFFSETS.round(6).tolist(), "times": TIMES.round(6).tolist()}
    PLACE.write_text(json.dumps(axes | found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

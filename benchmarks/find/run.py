"""Regret of ``find`` and of other finders on the workloads, and what they cost.

    python benchmarks/find/run.py [--tuning] [--peers] [part of a name …]

Each method gets each of five seeds; its rate is scored by the mean loss of ten other seeds after
the whole budget (``surfaces/``), between two measured rates by linear interpolation of the
logarithm. Regret is (loss − floor) ÷ (least loss − floor) − 1; where a loss has no least value, the
unit is half of what there is to learn. With ``--tuning`` the tuning workloads are scored, each with
what was learned from other data alone; the report's chose nothing. ``--peers`` also runs the
finders of :mod:`peers`, whose packages it names. Time is told in trainings of the same model on the
same cores; a search of ``find`` also counts its passes without training, a third of an update each.
"""

import argparse
import math
import time
import warnings
from dataclasses import replace

import learn
import numpy as np
import surfaces
import torch
import workloads
from peers import PEERS, Found

import surefoot as sf
from surefoot._engine.training import usual_rate
from surefoot._engine.trial_probe import TrialProbe
from surefoot._find import find as find_module
from surefoot._find.library import known

BASIN = 0.1


class Judge:
    """The regret of any rate on one workload."""

    def __init__(self, workload):
        told = surfaces.read(workload.name)
        mean = told["loss"][:, :, -1].mean(0)
        if judged := told.get("judged"):  # drawn trainings have none
            for lr, loss in zip(judged["lrs"], judged["loss"].mean(0), strict=True):
                mean[told["lrs"].index(lr)] = loss
        start, best = float(np.mean(told["untrained"])), float(mean.min())
        floor = workload.floor
        unit = best - floor if floor is not None else 0.5 * (start - best)
        self.x = np.log(told["lrs"])
        self.worst = 3 * (start - best) / unit  # what diverged counts as
        self.regrets = np.minimum(
            np.where(np.isfinite(mean), (mean - best) / unit, np.inf), self.worst
        )
        self.best = told["lrs"][int(mean.argmin())]
        self.chosen = told["loss"][:, :, -1]
        self.lrs = told["lrs"]

    def regret(self, lr):
        return float(np.expm1(np.interp(math.log(lr), self.x, np.log1p(self.regrets))))


def default(workload, _seed):
    return Found(usual_rate(workload.trial))


def full_grid(workload, seed):
    """Take the best rate of a grid with six per decade, judged on one seed."""
    judge = Judge(workload)
    count = len(judge.lrs)
    return Found(judge.lrs[int(judge.chosen[seed].argmin())], count, math.nan, count)


def of(effort):
    def found(workload, seed):
        started = time.perf_counter()
        finding = sf.find(replace(workload.trial, seed=seed), effort=effort, progress=False)
        seconds = time.perf_counter() - started
        passes = 1 + sum(len(attempt.judged) for attempt in finding.attempts)
        failed = finding.source == "default"
        return Found(finding.lr, finding.cost.trainings, seconds, passes, failed, finding)

    return found


def one_training(workload):
    """Return the seconds of one training at the usual rate, judged at its end."""
    probe, steps = TrialProbe(workload.trial), workload.trial.steps
    probe.train([usual_rate(workload.trial)] * 4, [4])
    started = time.perf_counter()
    probe.train([usual_rate(workload.trial)] * steps, [steps])
    return time.perf_counter() - started


METHODS = {
    "usual rate": default,
    "find, quick": of("quick"),
    "find, thorough": of("thorough"),
    "full grid, one seed": full_grid,
}


def wilson(share, count, z=1.96):
    """Return the interval of a share."""
    middle, half = (
        share + z * z / 2 / count,
        z * math.sqrt(share * (1 - share) / count + z * z / 4 / count**2),
    )
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def summary(name, rows, usual):
    regrets = np.array([row["regret"] for row in rows])
    inside = float((regrets <= BASIN).mean())
    low, high = wilson(inside, len(regrets))
    rates = {}
    for row in rows:
        rates.setdefault(row["name"], []).append(row["found"].lr)
    spreads = [max(lrs) / min(lrs) for lrs in rates.values()]
    worse = np.mean(
        [row["regret"] > usual[row["name"]] + 0.02 * (1 + usual[row["name"]]) for row in rows]
    )
    costs = [row["found"].trainings for row in rows]
    passes = np.mean([row["found"].passes for row in rows])
    time_taken = np.median([row["time"] for row in rows])
    failed = sum(row["found"].failed for row in rows)
    said = (
        f"| {name} | {100 * np.median(regrets):.1f} % | {100 * np.quantile(regrets, 0.9):.0f} % | "
        f"{100 * regrets.max():.0f} % | {100 * inside:.0f} % ({100 * low:.0f}–{100 * high:.0f}) | "
        f"{100 * worse:.0f} % | {np.median(spreads):.2f} × / {max(spreads):.3g} × | "
        f"{np.mean(costs):.2f}, {max(costs):.2f} | {time_taken:.2f} | {passes:.0f} | {failed} |"
    )
    measured = [row for row in rows if row["found"].finding is not None]
    if not measured:
        return said + " – |"
    covered = np.mean([row["covered"] for row in measured])
    width = np.median([row["width"] for row in measured])
    return said + f" {100 * covered:.0f} %, {width:.2f} decades |"


def row(workload, judge, found, seconds):
    said = {"name": workload.name, "found": found, "regret": judge.regret(found.lr)}
    said["time"] = found.seconds / seconds
    if found.finding is not None:
        step = 10 ** (0.5 / surfaces.PER_DECADE)
        low, high = found.finding.low, found.finding.high
        said["covered"] = low / step <= judge.best <= high * step
        said["width"] = math.log10(high / low)
    return said


def measure(chosen, methods, *, leave_out):
    rows = {name: [] for name in methods}
    for workload in chosen:
        judge, seconds = Judge(workload), one_training(workload)
        if leave_out:
            find_module.known = lambda kind, name=workload.name: learn.without(name, kind)
        for name, method in methods.items():
            mine = [
                row(workload, judge, method(workload, seed), seconds) for seed in surfaces.CHOOSING
            ]
            rows[name] += mine
            told = " ".join(f"{100 * each['regret']:.0f}" for each in mine)
            rates = " ".join(f"{each['found'].lr:.2g}" for each in mine)
            print(
                f"{workload.name:46} {name:21} {told:28} % | best {judge.best:.2g}: {rates}",
                flush=True,
            )
        find_module.known = known
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = workloads.tuning() if given.tuning else workloads.report()
    chosen = [
        each for each in chosen if not given.names or any(name in each.name for name in given.names)
    ]
    chosen = [each for each in chosen if surfaces.path(each.name).exists()]
    methods = METHODS | (PEERS if given.peers else {})
    rows = measure(chosen, methods, leave_out=given.tuning)
    usual = {row["name"]: row["regret"] for row in rows["usual rate"]}
    heads = "method|median|p90|worst|in the basin|worse than usual|spread|trainings, at most|time"
    heads += "|passes|no answer|interval"
    print(f"\n| {heads.replace('|', ' | ')} |\n|{'---|' * (heads.count('|') + 1)}")
    for name, found in rows.items():
        print(summary(name, found, usual))


if __name__ == "__main__":
    main()

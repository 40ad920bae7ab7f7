"""Regret of ``find`` on the workloads, and what it costs.

    python benchmarks/find/run.py [--tuning] [part of a name …]

Each method gets each of five seeds; its rate is scored by the mean loss of ten other seeds after
the whole budget (``surfaces/``), between two measured rates by linear interpolation of the
logarithm. Regret is (loss − floor) ÷ (least loss − floor) − 1; where a loss has no least value, the
unit is half of what there is to learn. With ``--tuning`` the tuning workloads are scored, each with
what was learned from the others alone; the report's chose nothing.
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

import surefoot as sf
from surefoot._engine import groups
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
    lr = groups.default_lr(workload.trial.build(1e-3)[1])
    return lr, 0.0, 0.0, None


def full_grid(workload, seed):
    """Take the best rate of a grid with six per decade, judged on one seed."""
    judge = Judge(workload)
    return judge.lrs[int(judge.chosen[seed].argmin())], float(len(judge.lrs)), math.nan, None


def of(effort):
    def found(workload, seed):
        started = time.perf_counter()
        finding = sf.find(replace(workload.trial, seed=seed), effort=effort, progress=False)
        return finding.lr, finding.cost.trainings, time.perf_counter() - started, finding

    return found


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
    spreads = [
        max(lrs) / min(lrs)
        for lrs in (
            [r["lr"] for r in rows if r["name"] == each]
            for each in dict.fromkeys(r["name"] for r in rows)
        )
    ]
    worse = np.mean(
        [row["regret"] > usual[row["name"]] + 0.02 * (1 + usual[row["name"]]) for row in rows]
    )
    costs = [row["cost"] for row in rows]
    said = (
        f"| {name} | {100 * np.median(regrets):.1f} % | {100 * np.quantile(regrets, 0.9):.0f} % | "
        f"{100 * regrets.max():.0f} % | {100 * inside:.0f} % ({100 * low:.0f}–{100 * high:.0f}) | "
        f"{100 * worse:.0f} % | {np.median(spreads):.2f} × / {max(spreads):.1f} × | "
        f"{np.mean(costs):.2f} |"
    )
    covered = [row["covered"] for row in rows if row["covered"] is not None]
    if covered:
        widths = [row["width"] for row in rows if row["width"] is not None]
        said += f" {100 * np.mean(covered):.0f} %, {np.median(widths):.2f} decades |"
    return said


def measure(chosen, methods, *, leave_out):
    rows = {name: [] for name in methods}
    for workload in chosen:
        judge = Judge(workload)
        if leave_out:
            find_module.known = lambda kind, name=workload.name: learn.without(name, kind)
        for name, method in methods.items():
            mine = []
            for seed in surfaces.CHOOSING:
                lr, cost, seconds, finding = method(workload, seed)
                row = {"name": workload.name, "lr": lr, "cost": cost, "seconds": seconds}
                row |= {"regret": judge.regret(lr), "covered": None, "width": None}
                if finding is not None:
                    step = 10 ** (0.5 / surfaces.PER_DECADE)
                    row["covered"] = finding.low / step <= judge.best <= finding.high * step
                    row["width"] = math.log10(finding.high / finding.low)
                    row["source"] = finding.source
                mine.append(row)
            rows[name] += mine
            told = " ".join(f"{100 * row['regret']:.0f}" for row in mine)
            rates = " ".join(f"{row['lr']:.2g}" for row in mine)
            print(
                f"{workload.name:46} {name:20} {told:28} % | best {judge.best:.2g}: {rates}",
                flush=True,
            )
        find_module.known = known
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = workloads.tuning() if given.tuning else workloads.report()
    chosen = [
        each for each in chosen if not given.names or any(name in each.name for name in given.names)
    ]
    chosen = [each for each in chosen if surfaces.path(each.name).exists()]
    rows = measure(chosen, METHODS, leave_out=given.tuning)
    usual = {row["name"]: row["regret"] for row in rows["usual rate"]}
    heads = "method|median|p90|worst|in the basin|worse than usual|spread|trainings|interval"
    print(f"\n| {heads.replace('|', ' | ')} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        print(summary(name, found, usual))


if __name__ == "__main__":
    main()

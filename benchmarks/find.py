"""Regret of ``find`` on small real tasks, against a grid, the plain default and itself.

Regret = (loss at the answer ÷ loss at the best rate of a grid with 4 per decade) − 1 after the
same budget, mean of three seeds that chose nothing (``find`` uses seed 0, scores use seeds 100 …).
The search's shape was chosen on the tuning tasks and on published results; the report tasks chose
nothing.
"""

import dataclasses
import statistics
import warnings

import tasks
import torch

import surefoot as sf
from surefoot._engine import groups

SEEDS = 3
FIND_SEEDS = 3


def loss_at(trial, lr):
    return sf.sweep(
        dataclasses.replace(trial, seed=100), [lr], seeds=SEEDS, progress=False
    ).best.loss


def attempt(trial, effort, oracle):
    rows = []
    for seed in range(FIND_SEEDS):
        finding = sf.find(dataclasses.replace(trial, seed=seed), effort=effort, progress=False)
        try:
            loss = loss_at(trial, finding.lr)
        except sf.InputError:
            loss = float("inf")
        inside = finding.low <= oracle.lr <= finding.high
        rows.append((loss / oracle.loss - 1, finding.cost.trainings, inside))
    return rows


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    for split, trials in (("tuning", tasks.tuning_tasks()), ("report", tasks.report_tasks())):
        table = {"default": [], "quick": [], "thorough": []}
        for trial in trials:
            grid = sf.grid(1e-5, 10, per_decade=4)
            scored = dataclasses.replace(trial, seed=100)
            oracle = sf.sweep(scored, grid, seeds=SEEDS, progress=False).best
            _, optimizer = trial.build(1e-3)
            usual = groups.default_lr(optimizer)
            table["default"].append((loss_at(trial, usual) / oracle.loss - 1, 0.0, False))
            for effort in ("quick", "thorough"):
                rows = attempt(trial, effort, oracle)
                table[effort] += rows
                regrets = ", ".join(f"{100 * row[0]:.0f} %" for row in rows)
                print(f"  {split}: {trial.name}: {effort}: {regrets}", flush=True)
        for name, rows in table.items():
            regrets = sorted(row[0] for row in rows)
            cost = statistics.mean(row[1] for row in rows)
            inside = statistics.mean(row[2] for row in rows)
            print(
                f"{split} {name:9} n={len(rows):2} median {100 * statistics.median(regrets):5.1f} %"
                f"  worst {100 * regrets[-1]:7.1f} %  cost {cost:.2f} trainings"
                f"  best rate in interval {100 * inside:.0f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()

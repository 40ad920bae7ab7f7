"""What successive halving saves and what it loses: ``sf.sweep(…, keep=k)`` against the whole grid.

``halving.py [rates per decade] [seeds] [set …]``, sets being tuning, report and later, trains every
rate of the default range, with each seed, to
the end, and notes the validation loss at the rungs on the way: members that go on are the same to
the last bit with and without halving (``tests/engine/test_halving.py``), so that one training of
the grid tells what any rule would have done. Per task:

* fewer: member-updates of the whole grid ÷ those of halving.
* within 5 %: of sweeps with one seed and of sweeps with three, how many winners have a final loss
  within 5 % of the least of the grid, by the same seeds. The unit is that of a basin: the least
  loss, but at least 0.1 % of what was learned.
* fresh: by how much the loss at the winner is above that at the winner of the whole grid, by the
  seeds that took no part in that sweep; the mean, and the worst sweep.

The rule (half of the rates at 1/8, 1/4, 1/2) comes from measurements on other tasks, so that it was
tuned on none of these; variants were chosen on the first four, and the default grid of four rates
per decade after the results of the first thirteen. The *later* tasks were made after that.
"""

import math
import os
import statistics
import sys
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more would wait for each other

import numpy as np
import tasks
import torch

from surefoot._curves.u_curve import loss_unit
from surefoot._engine.backends._backend import Job
from surefoot._engine.backends.fused import Shards
from surefoot._engine.batches import Batches
from surefoot._engine.halving import rungs, survivors
from surefoot._engine.training import untrained_loss, usual_rate
from surefoot._sweep.grid import default_grid

CLOSE = 0.05
RULES = {"keep=1": 1, "keep=2": 2, "keep=3": 3}


@dataclass(frozen=True)
class Grid:
    """A whole grid: the loss of each rate and seed at each rung and at the end."""

    name: str
    lrs: tuple[float, ...]
    ends: tuple[int, ...]
    losses: np.ndarray  # rungs and end × rates × seeds
    made: np.ndarray  # updates made in all, rates × seeds
    untrained: float

    def halved(self, seeds, keep, decide=survivors):
        """Return the winner of halving and the member-updates it makes."""
        going, updates, before = list(range(len(self.lrs))), 0, 0
        for index, end in enumerate(self.ends):
            made = np.minimum(self.made[going][:, seeds], end) - before
            updates += int(np.maximum(made, 0).sum())
            here = {place: self.losses[index][place, seeds].tolist() for place in going}
            before = end
            if index + 1 < len(self.ends):
                going = list(decide(here, keep))
        return min(going, key=lambda place: np.mean(here[place])), updates

    def whole(self, seeds):
        """Return the winner of the whole grid and the member-updates it makes."""
        means = self.losses[-1][:, seeds].mean(axis=1)
        return int(np.argmin(means)), int(self.made[:, seeds].sum())

    def regret(self, winner, best, seeds):
        """Return how much worse the winner is, as a share of the best loss; see ``loss_unit``."""
        worse, least = (float(self.losses[-1][place, seeds].mean()) for place in (winner, best))
        if winner == best:
            return 0.0
        if not math.isfinite(least):  # on other seeds the winner of the whole grid diverges too
            return math.nan if not math.isfinite(worse) else -math.inf
        return (worse - least) / loss_unit(least, self.untrained)


def train(trial, per_decade, seeds):
    lrs = default_grid(usual_rate(trial), per_decade)
    ends = (*rungs(trial.steps), trial.steps)
    losses = np.full((len(ends), len(lrs), seeds), math.inf)
    made = np.zeros((len(lrs), seeds), dtype=int)
    for seed in range(seeds):
        job = Job(trial, [(lr, seed) for lr in lrs])
        shards = Shards(job, lambda *_: None)
        for index, end in enumerate(ends):
            found = []
            shards.advance(end, found.append)
            for member in found:  # one that is lost comes once, and stays where it is
                place = lrs.index(member.lr)
                losses[index, place, seed] = member.loss
                made[place, seed] = member.updates
    untrained = statistics.mean(
        untrained_loss(trial, seed, Batches(trial.train, seed)) for seed in range(seeds)
    )
    return Grid(trial.name, lrs, ends, losses, made, untrained)


def judge(found, keep, size, decide=survivors):
    """Return, of sweeps with so many seeds: savings, regrets on the same seeds, and on others."""
    total = found.losses.shape[2]
    saved, same, fresh = [], [], []
    for first in range(0, total - size + 1, size):
        seeds = list(range(first, first + size))
        others = [seed for seed in range(total) if seed not in seeds]
        winner, few = found.halved(seeds, keep, decide)
        best, many = found.whole(seeds)
        saved.append(many / few)
        same.append(found.regret(winner, best, seeds))
        if others:
            fresh.append(found.regret(winner, best, others))
    return saved, same, fresh


def show(grids, keep, decide=survivors):
    print(f"{'task':30s}  fewer  1 seed: within 5 %, fresh mean, worst   3 seeds: the same")
    rows = []
    for found in grids:
        cells, row = [], []
        for size in (1, 3):
            saved, same, fresh = judge(found, keep, size, decide)
            close = [regret <= CLOSE for regret in same]
            row += [statistics.geometric_mean(saved), close, fresh]
            known = [regret for regret in fresh if math.isfinite(regret)] or [math.nan]
            worst = f"{100 * statistics.mean(known):+6.1f} % {100 * max(known):+6.1f} %"
            lost = sum(regret == math.inf for regret in fresh)
            worst += f" ({lost} diverged)" if lost else ""
            cells.append(f"{sum(close):3d}/{len(close)} {worst}")
        rows.append(row)
        print(f"{found.name:30s} {row[0]:6.2f}  {cells[0]:>28s}   {cells[1]:>28s}")
    total = [f"{'all':30s} {statistics.geometric_mean(row[0] for row in rows):6.2f}"]
    for index in (1, 4):
        close = [each for row in rows for each in row[index]]
        fresh = [each for row in rows for each in row[index + 1]]
        total.append(
            f"{100 * statistics.mean(close):5.1f} % ({sum(close)}/{len(close)}), fresh "
            f"{100 * statistics.mean(each for each in fresh if math.isfinite(each)):+.1f} %"
        )
    print("   ".join(total))


SETS = {
    "tuning": tasks.tuning_tasks,
    "report": lambda: [*tasks.report_tasks(), *tasks.more_report_tasks()],
    "later": tasks.halving_tasks,
}


def main(per_decade=4, seeds=12, *names):
    torch.set_num_threads(1)
    grids = {
        name: [train(trial, int(per_decade), int(seeds)) for trial in SETS[name]()]
        for name in names or SETS
    }
    for rule, keep in RULES.items():
        for name, found in grids.items():
            print(f"\n{rule}, {name} tasks, {per_decade} rates per decade, {seeds} seeds")
            show(found, keep)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Choose the constants of the forecast and the steps of the search, on the tuning workloads.

    python benchmarks/find/tune.py [seconds]

No model is trained but for the range tests: what a short training would be judged by is read from
the surfaces, so that a search takes milliseconds. Each workload is searched with what was learned
from other data. First the efforts are scored, then the constants are changed at random for so many
seconds, and what scores better is kept and printed.
"""

import math
import sys
import time
import warnings

import learn
import numpy as np
import surfaces
import torch
import workloads
from drawn import drawn
from run import Judge

from surefoot._curves import forecast as constants
from surefoot._engine.probe import ProbeRun
from surefoot._engine.training import usual_rate
from surefoot._find.search import EFFORTS, Attempts, Start, recommended

NAMES = (
    "SHIFT",
    "OWN",
    "OWN_RATE",
    "OWN_TIME",
    "ALONG",
    "ALONG_LENGTH",
    "NOISE",
    "EARLY",
    "HOPELESS",
    "ABOVE",
)
RATES = {
    "constant": lambda lr, updates: [lr] * updates,
    "decaying": lambda lr, updates: [lr] * (updates - 1) + [0.0],
}


class Simulated:
    """Trainings that are read from a surface; see :class:`surefoot._engine.probe.Probe`.

    Args:
        told: the surface.
        row: of its choosing seeds.
        decays: whether each training goes through the whole schedule, and so cannot go on.
    """

    pass_cost, reference_cost = 0.0, 0.0

    def __init__(self, told, row, *, decays):
        self.steps, self.untrained = told["steps"], float(np.mean(told["untrained"]))
        self._x, self._t = np.log(told["lrs"]), np.log(told["marks"])
        self._loss, self._decays = told["loss"][row], decays
        self._kept = {}
        self.made = 0

    def updates_of(self, lr):
        return self._kept.get(lr, 0)

    def train(self, lrs, marks):
        lr, had = max(lrs), 0 if self._decays else self._kept.pop(max(lrs), 0)
        judged = []
        for mark in marks:
            judged.append((mark, self._at(lr, mark)))
            if not math.isfinite(judged[-1][1]):
                break
        else:
            if not self._decays:
                self._kept[lr] = marks[-1]
        self.made += judged[-1][0] - had
        return ProbeRun(judged[-1][0] - had, tuple(judged))

    def _at(self, lr, update):
        """Return the loss between the two measured rates, after the measured time that is near."""
        column = int(np.abs(self._t - math.log(update)).argmin())
        losses = self._loss[:, column]
        near = int(np.abs(self._x - math.log(lr)).argmin())
        between = float(np.interp(math.log(lr), self._x, losses))
        return between if math.isfinite(between) else float(losses[near])


class Bench:
    """All searches of a kind: of the tuning workloads and, where the rate decays, of drawn ones."""

    def __init__(self, kind):
        self.kind, self.cases = kind, []
        for workload in [*workloads.tuning(), *drawn()]:
            if learn.kind(workload) != kind or (kind == "constant" and surfaces.of_drawn(workload)):
                continue
            known, told = learn.without(workload.name, kind), surfaces.read(workload.name)
            for row, seed in enumerate(surfaces.choosing(workload)):
                centre = learn.expected(workload, seed)
                usual = usual_rate(workload.trial)
                self.cases.append((told, row, centre, Judge(workload), known, usual))

    def score(self, effort, *, said=False):
        regrets, covered, widths, costs = [], [], [], []
        for told, row, centre, judge, known, usual in self.cases:
            probe = Simulated(told, row, decays=self.kind == "decaying")
            rates = RATES[self.kind]
            start = Start(centre, probe.untrained)
            attempts = Attempts(probe, rates, known, start, lambda *_: None)
            attempts.run(effort)
            found = attempts.forecast()
            low, high = found.quantile(0.05) / 1.1, found.quantile(0.95) * 1.1
            regrets.append(judge.regret(recommended(found, attempts.all, usual)))
            covered.append(low <= judge.best <= high)
            widths.append(math.log10(high / low))
            costs.append(probe.made / probe.steps)
        found = np.array(regrets)
        if said:
            print(
                f"median {np.median(found):.1%}, p90 {np.quantile(found, 0.9):.0%}, worst "
                f"{found.max():.0%}, basin {(found <= 0.1).mean():.0%}, covered "
                f"{np.mean(covered):.0%}, {np.median(widths):.2f} decades, trainings "
                f"{np.mean(costs):.2f}, at most {max(costs):.2f}"
            )
        missed = max(0.0, 0.9 - np.mean(covered)) + 0.2 * max(0.0, np.median(widths) - 1)
        small = 0.5 * np.minimum(found, 0.2).mean() - 0.1 * (found <= 0.1).mean()
        return np.minimum(found, 1.5).mean() + small + 0.3 * missed


def total(benches):
    """Return the score of all: the constant rate counts most, thorough more than quick."""
    weights = {"constant": 1.0, "decaying": 0.4}, {"quick": 1.0, "thorough": 1.5}
    return sum(
        weights[0][bench.kind] * weights[1][name] * bench.score(effort)
        for bench in benches
        for name, effort in EFFORTS.items()
    )


def climb(benches, seconds):
    rng = np.random.default_rng(0)
    best = total(benches)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = {name: getattr(constants, name) for name in NAMES}
        for name, value in before.items():
            factor = math.exp(0.3 * rng.standard_normal() * (rng.random() < 0.4))
            setattr(constants, name, value * factor)
        score = total(benches)
        if score < best:
            best = score
            print(round(best, 4), {name: round(getattr(constants, name), 5) for name in NAMES})
        else:
            for name, value in before.items():
                setattr(constants, name, value)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    benches = [Bench("constant"), Bench("decaying")]
    for bench in benches:
        for name, effort in EFFORTS.items():
            print(f"{bench.kind}, {name}", end=": ")
            bench.score(effort, said=True)
    climb(benches, float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)


if __name__ == "__main__":
    main()

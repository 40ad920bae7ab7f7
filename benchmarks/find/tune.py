"""Choose the constants of the forecast and the rounds of the search, on the tuning workloads.

    python benchmarks/find/tune.py [seconds]

No model is trained but for the range tests: what a short training would be judged by is read from
the surfaces, so that a search takes milliseconds. Each workload is searched with what was learned
from the others. First the rounds of each effort are scored, then the constants are changed at
random for so many seconds, and what scores better is kept and printed.
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
from run import Judge

from surefoot._curves import forecast as constants
from surefoot._curves.forecast import Seen, forecast
from surefoot._find.search import ALIKE, EFFORTS, UNSEEN

NAMES = ("SHIFT", "OWN", "OWN_RATE", "OWN_TIME", "ALONG", "ALONG_LENGTH", "NOISE", "EARLY")


class Simulated:
    """A search whose trainings are read from a surface.

    Args:
        workload: which.
        seed: of its choosing seeds.
        centre: the rate that its range test expects to be best.
        judge: the regrets.
        known: what the others taught.
    """

    def __init__(self, workload, seed, centre, judge, known):
        self.told = surfaces.read(workload.name)
        self.seed, self.centre, self.judge, self.known = seed, centre, judge, known
        self.x = np.log(self.told["lrs"])
        self.shares: dict[int, float] = {}
        self.cost = 0.0

    def train(self, lr, share):
        near = [each for each in self.shares if abs(self.x[each] - math.log(lr)) < ALIKE * 2.3]
        index = min(near or range(len(self.x)), key=lambda each: abs(self.x[each] - math.log(lr)))
        self.cost += max(0.0, share - self.shares.get(index, 0.0))
        self.shares[index] = max(share, self.shares.get(index, 0.0))

    def forecast(self):
        marks, steps = self.told["marks"], self.told["steps"]
        seen = [
            Seen(self.told["lrs"][index], mark / steps, self.told["loss"][self.seed, index, column])
            for index, share in self.shares.items()
            for column, mark in enumerate(marks)
            if mark <= 1.03 * share * steps
        ]
        return forecast(self.known, seen, float(np.mean(self.told["untrained"])), self.centre)

    def search(self, effort):
        (count, share), *further = effort.rounds
        for power in np.arange(count) - (count - 1) / 2:
            self.train(self.centre * effort.spacing**power, share)
        for count, share in further:
            told = self.forecast()
            for quantile in UNSEEN[count]:
                self.train(told.quantile(quantile), share)
        return self.forecast()


class Bench:
    """All searches of the tuning workloads at a constant rate."""

    def __init__(self):
        self.cases = []
        for workload in workloads.tuning():
            if workload.trial.schedule is None:
                judge, known = Judge(workload), learn.without(workload.name, "constant")
                for seed in surfaces.CHOOSING:
                    centre = learn.expected(workload, seed)
                    self.cases.append((workload, seed, centre, judge, known))

    def score(self, effort, *, said=False):
        regrets, covered, widths, costs = [], [], [], []
        for case in self.cases:
            simulated, judge = Simulated(*case), case[3]
            told = simulated.search(effort)
            low, high = told.quantile(0.05) / 1.1, told.quantile(0.95) * 1.1
            regrets.append(judge.regret(told.best))
            covered.append(low <= judge.best <= high)
            widths.append(math.log10(high / low))
            costs.append(simulated.cost)
        found = np.array(regrets)
        if said:
            print(
                f"median {np.median(found):.1%}, p90 {np.quantile(found, 0.9):.0%}, worst "
                f"{found.max():.0%}, basin {(found <= 0.1).mean():.0%}, covered "
                f"{np.mean(covered):.0%}, {np.median(widths):.2f} decades, {np.mean(costs):.2f}"
            )
        missed = max(0.0, 0.9 - np.mean(covered)) + 0.2 * max(0.0, np.median(widths) - 1)
        return np.minimum(found, 1.5).mean() + 0.5 * np.minimum(found, 0.2).mean() + 0.3 * missed


def climb(bench, seconds):
    rng = np.random.default_rng(0)
    best = sum(bench.score(effort) for effort in EFFORTS.values())
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = {name: getattr(constants, name) for name in NAMES}
        for name, value in before.items():
            factor = math.exp(0.3 * rng.standard_normal() * (rng.random() < 0.4))
            setattr(constants, name, value * factor)
        score = sum(bench.score(effort) for effort in EFFORTS.values())
        if score < best:
            best = score
            print(round(best, 4), {name: round(getattr(constants, name), 5) for name in NAMES})
        else:
            for name, value in before.items():
                setattr(constants, name, value)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    bench = Bench()
    for name, effort in EFFORTS.items():
        print(name, end=": ")
        bench.score(effort, said=True)
    climb(bench, float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)


if __name__ == "__main__":
    main()

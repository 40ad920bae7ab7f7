"""How far the statistics of a U curve can be trusted: coverage of intervals, regret of the optimum.

``curve_statistics.py [draws]`` prints three tables:

* the stated 90 % interval of the best rate on synthetic curves with a known optimum: how often it
  covers it, in 1000 draws per case. Each draw has its own shape, its own place of the optimum
  between the rates and its own noise. Constants of the fit were chosen on the first family; the
  second chose nothing.
* the interval of a mean over few seeds, beside the percentile bootstrap.
* the regret of the fitted best rate on real tasks: three seeds at 3 rates per decade choose, and
  so do the same seeds at 9 per decade; twelve other seeds judge both. Loss at the first ÷ loss at
  the second − 1, with the standard error of that over the judging seeds.
"""

import dataclasses
import functools
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from dataclasses import dataclass

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more would wait for each other

import numpy as np
import tasks
import torch
from scipy.interpolate import Akima1DInterpolator

import surefoot as sf
from surefoot._curves.optimum import fit_optimum
from surefoot._curves.u_curve import mean_interval

JUDGES = 12

# digits MLP, 10 epochs, mean over seeds, one rate per octave
SGD = [1.763, 1.250, 0.629, 0.302, 0.157, 0.0786, 0.0317, 0.0137, 0.537, 2.304, 2.311]
ADAM = [1.245, 0.528, 0.203, 0.0911, 0.0476, 0.0238, 0.0263, 0.0836, 0.177, 0.706]


# Shapes: each draws itself and returns the loss over u, decades from the optimum, and its ends.
def parabola(rng):
    width = rng.uniform(0.3, 2.0)
    return (lambda u: 1 + width * u**2), -2.5, 1.7


def vee(rng):
    slope = rng.uniform(1, 3)
    return (lambda u: 0.1 * np.exp(slope * (np.hypot(u, 0.2) - 0.2))), -2.5, 1.8


def valley(left, right):
    """Gentle on the left, steep on the right: two exponentials."""

    def make(rng):
        a, b = rng.uniform(*left), rng.uniform(*right)

        def loss(u):
            both = np.exp(-a * u) / a + np.exp(np.minimum(b * u, 30)) / b
            return np.minimum(0.05 * both / (1 / a + 1 / b), 3.0)

        return loss, -2.7, 1.2

    return make


def flat(rng):
    width, tilt = rng.uniform(0.8, 1.3), rng.uniform(-0.3, 0.3)
    fine = np.linspace(-2, 2, 4001)
    least = fine[np.argmin((fine / width) ** 4 + tilt * fine)]
    return (
        (lambda u: 1 + ((u + least) / width) ** 4 + tilt * (u + least)),
        -2.0 - least,
        1.6 - least,
    )


def saturated(rng):
    """Loss 2.3 far to both sides and 0.5 at least."""
    a, b = rng.uniform(0.8, 2), rng.uniform(1.5, 4)

    def loss(u):
        both = np.exp(-a * u) / a + np.exp(np.minimum(b * u, 30)) / b
        return 0.5 + 1.8 * (1 - np.exp(-0.15 * both))

    return loss, -2.5, 1.5


def cliff(rng):
    """Training fails a little above the optimum."""
    edge, slope = rng.uniform(0.15, 0.6), rng.uniform(1, 2)

    def loss(u):
        return np.where(u > edge, np.inf, 0.1 * np.exp(slope * (np.hypot(u, 0.2) - 0.2)))

    return loss, -2.5, 1.0


def wall(rng):
    """The loss falls until training fails."""
    slope = rng.uniform(0.5, 2)

    def loss(u):
        return np.where(u > 1e-9, np.inf, 0.1 * np.exp(-slope * u))

    return loss, -2.5, 0.8


def steep_wall(rng):
    """The loss falls until it shoots up, by a power of ten in a tenth of a decade or less."""
    slope, rise = rng.uniform(0.5, 2), rng.uniform(10, 60)

    def loss(u):
        return 0.1 * np.exp(-slope * np.minimum(u, 0) + np.minimum(rise * np.maximum(u, 0), 40))

    return loss, -2.5, 0.8


def plateau(ends, tilts):
    """Hardly any slope between two ends, which are steep."""

    def make(rng):
        width, tilt = rng.uniform(*ends), rng.uniform(*tilts)
        left, right = rng.uniform(1, 3), rng.uniform(2, 8)

        def shifted(u):
            rise = left * np.maximum(-u - width, 0) ** 1.5
            return 0.1 * np.exp(tilt * u + rise + np.minimum(right * np.maximum(u - width, 0), 30))

        fine = np.linspace(-2, 2, 4001)
        least = fine[np.argmin(shifted(fine))]
        return (lambda u: shifted(u + least)), -2.3 - least, 1.6 - least

    return make


def cut_off(low, high):
    """A bowl whose lowest point lies beyond the rates."""

    def make(rng):
        width = rng.uniform(0.3, 1)
        return (lambda u: 1 + width * u**2), rng.uniform(*low), rng.uniform(*high)

    return make


def broad_wall(rng):
    """Training fails in the middle of a bowl's bottom."""
    width, edge = rng.uniform(0.3, 1.5), rng.uniform(0, 0.15)
    return (lambda u: np.where(u > edge, np.inf, 0.1 + 0.1 * width * u**2)), -2.5, 0.8


def measured(losses):
    x = np.arange(len(losses)) * np.log10(2)
    curve = Akima1DInterpolator(x, np.log(losses), method="makima")
    fine = np.linspace(x[0], x[-1], 4001)
    least = fine[np.argmin(curve(fine))]

    def make(_):
        return (lambda u: np.exp(curve(np.clip(u + least, x[0], x[-1])))), -least, x[-1] - least

    return make


SHAPES = {
    "parabola": parabola,
    "vee": vee,
    "steep right": valley((0.5, 1.5), (4, 9)),
    "steeper right": valley((1, 2.5), (2, 5)),
    "flat": flat,
    "saturated": saturated,
    "cliff": cliff,
    "wall": wall,
    "steep wall": steep_wall,
    "bowl with a wall": broad_wall,
    "plateau": plateau((0.3, 0.9), (-0.15, 0.15)),
    "tilted plateau": plateau((0.2, 0.5), (0.1, 0.4)),
    "cut off above": cut_off((-3.0, -2.5), (-1.0, -0.1)),
    "cut off below": cut_off((0.1, 1.0), (2.0, 3.0)),
    "digits SGD": measured(SGD),
    "digits Adam": measured(ADAM),
}


@dataclass(frozen=True)
class Case:
    """One kind of curve; ``common`` is the seed effect in units of the noise."""

    shape: str
    noise: float
    per_decade: int
    seeds: int
    kind: str = "relative"
    common: float = 1.0
    mad: float = 1.0

    def draw(self, rng):
        loss, low, high = SHAPES[self.shape](rng)
        count = round((high - low) * self.per_decade) + 1
        u = low + (np.arange(count) + rng.uniform(-0.5, 0.5)) / self.per_decade
        true, best = loss(u)[:, None], float(loss(np.array([0.0]))[0])
        common = rng.normal(size=(1, self.seeds)) * self.noise * self.common
        own = rng.normal(size=(count, self.seeds))
        size = np.full_like(u, self.noise)[:, None]
        if self.kind == "additive":
            table = true + best * (size * own + common)
        elif self.kind == "heavy tails":
            heavy = rng.standard_t(3, size=own.shape) / 1.7
            table = true * np.exp(size * heavy + common)
        else:
            if self.kind == "more at high rates":
                size = size * 10 ** np.clip(0.4 * u[:, None], -1, 0.8)
            table = true * np.exp(size * own - size**2 / 2 + common)
        if self.mad != 1:
            table[rng.integers(count), rng.integers(self.seeds)] *= self.mad
        return u, table, loss, best

    def __str__(self):
        words = [f"{self.shape}, {100 * self.noise:g} %, {self.per_decade}/decade, {self.seeds}"]
        words += [self.kind] if self.kind != "relative" else []
        words += [f"seed effect × {self.common:g}"] if self.common != 1 else []
        words += [f"one member × {self.mad:g}"] if self.mad != 1 else []
        return ", ".join(words)


HET, ADD, HEAVY = "more at high rates", "additive", "heavy tails"
TUNING = [
    Case("parabola", 0.01, 3, 1),
    Case("parabola", 0.1, 3, 3),
    Case("parabola", 0.3, 3, 3),
    Case("parabola", 0.05, 2, 2, ADD),
    Case("parabola", 0.1, 4, 5, HET),
    Case("vee", 0.03, 3, 3),
    Case("vee", 0.3, 3, 5),
    Case("vee", 0.1, 2, 1),
    Case("steep right", 0.01, 3, 3),
    Case("steep right", 0.1, 3, 3),
    Case("steep right", 0.3, 4, 3, HET),
    Case("steep right", 0.1, 2, 2),
    Case("steep right", 0.05, 3, 1),
    Case("parabola", 0.1, 3, 1),
    Case("flat", 0.03, 3, 3),
    Case("flat", 0.1, 3, 3),
    Case("flat", 0.02, 2, 1),
    Case("flat", 0.1, 3, 1),
    Case("saturated", 0.1, 4, 1, ADD),
    Case("saturated", 0.02, 3, 3, ADD, 3.0),
    Case("saturated", 0.1, 4, 2, ADD),
    Case("digits SGD", 0.03, 3, 3),
    Case("digits SGD", 0.2, 3, 3),
    Case("digits SGD", 0.1, 4, 1),
    Case("digits Adam", 0.05, 3, 3),
    Case("digits Adam", 0.3, 2, 5),
    Case("parabola", 0.05, 3, 3, mad=5.0),
    Case("steep right", 0.05, 3, 3, mad=20.0),
    Case("vee", 0.05, 3, 3, mad=np.inf),
    Case("cliff", 0.05, 3, 3),
    Case("cliff", 0.15, 4, 2),
    Case("wall", 0.03, 3, 3),
    Case("wall", 0.1, 4, 1),
    Case("steep wall", 0.1, 2, 2),
    Case("steep wall", 0.05, 3, 5),
    Case("plateau", 0.05, 3, 3),
    Case("plateau", 0.02, 4, 2),
    Case("cut off above", 0.03, 3, 3),
    Case("parabola", 0.2, 3, 1),
    Case("flat", 0.2, 3, 1),
]
HELD_OUT = [
    Case("parabola", 0.03, 4, 2),
    Case("parabola", 0.2, 2, 3, ADD, 0.0),
    Case("parabola", 0.3, 3, 5, HET),
    Case("parabola", 0.1, 3, 1, HEAVY),
    Case("vee", 0.01, 4, 1),
    Case("vee", 0.15, 3, 2, ADD, 3.0),
    Case("vee", 0.1, 2, 5),
    Case("steeper right", 0.02, 2, 3),
    Case("steeper right", 0.1, 3, 3),
    Case("steeper right", 0.3, 4, 2, HET),
    Case("steeper right", 0.05, 4, 1),
    Case("steeper right", 0.15, 3, 5, HEAVY),
    Case("steep right", 0.2, 3, 2),
    Case("steep right", 0.02, 4, 5),
    Case("flat", 0.01, 3, 2),
    Case("flat", 0.05, 4, 3, HET),
    Case("flat", 0.3, 3, 5),
    Case("saturated", 0.05, 3, 1),
    Case("saturated", 0.2, 3, 5, ADD),
    Case("digits SGD", 0.01, 3, 2),
    Case("digits SGD", 0.1, 2, 3),
    Case("digits SGD", 0.3, 4, 5),
    Case("digits Adam", 0.01, 3, 1),
    Case("digits Adam", 0.15, 3, 3, HET),
    Case("digits Adam", 0.1, 4, 2),
    Case("parabola", 0.1, 3, 3, common=3.0, mad=10.0),
    Case("vee", 0.1, 4, 5, mad=0.2),
    Case("steeper right", 0.05, 3, 5, mad=np.inf),
    Case("cliff", 0.1, 2, 3),
    Case("cliff", 0.03, 3, 1),
    Case("bowl with a wall", 0.05, 3, 3),
    Case("bowl with a wall", 0.1, 4, 1),
    Case("bowl with a wall", 0.02, 2, 5),
    Case("tilted plateau", 0.05, 3, 3),
    Case("tilted plateau", 0.1, 4, 1),
    Case("cut off below", 0.05, 3, 2),
    Case("cut off below", 0.1, 3, 1),
    Case("vee", 0.2, 3, 1),
    Case("saturated", 0.2, 3, 1),
]


def coverage(case, draws):
    """Return how often the interval covers, lies above and below, its width, regrets, seconds."""
    rng = np.random.default_rng([ord(letter) for letter in str(case)])
    rows, seconds = [], 0.0
    for _ in range(draws):
        u, table, loss, best = case.draw(rng)
        start = rng.uniform(-3, 0)
        began = time.process_time()
        fit = fit_optimum(10 ** (start + u), table, floor=0.0, generator=np.random.default_rng(0))
        seconds += time.process_time() - began
        if fit is not None:
            low, high, at = (np.log10(rate) - start for rate in (fit.low, fit.high, fit.lr))
            low, high = -np.inf if fit.open_low else low, np.inf if fit.open_high else high
            rows.append((low <= 0 <= high, low > 0, high < 0, high - low, loss(at) / best - 1))
    inside, above, below, width, regret = np.array(rows, dtype=float).T
    return (
        inside.mean(),
        above.mean(),
        below.mean(),
        np.median(width),
        np.median(regret),
        np.quantile(regret, 0.9),
        draws - len(rows),
        seconds / draws,
    )


def print_coverage(name, cases, draws):
    print(f"\n{name}: {draws} draws each. Noise, rates, seeds")
    print(f"{'':58} covers above below  width  regret    p90 none    time")
    found = []
    with multiprocessing.Pool(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        rows = pool.imap(functools.partial(coverage, draws=draws), cases)
        for case, (inside, above, below, width, regret, p90, none, seconds) in zip(
            cases, rows, strict=True
        ):
            found.append(inside)
            print(
                f"{case!s:58} {100 * inside:4.1f} % {100 * above:4.1f}  {100 * below:4.1f}  "
                f"{width:5.2f} {100 * regret:5.1f} % {100 * p90:5.1f} % "
                f"{none:4d} {1e3 * seconds:4.0f} ms",
                flush=True,
            )
    print(
        f"{name}: all draws {100 * statistics.mean(found):.1f} %, cases {100 * min(found):.0f} … "
        f"{100 * max(found):.0f} %, {sum(0.85 <= share <= 0.95 for share in found)} of "
        f"{len(found)} in 85 … 95 %, {sum(share < 0.85 for share in found)} below"
    )


def bootstrap(samples, rng):
    means = samples[rng.integers(len(samples), size=(400, len(samples)))].mean(axis=1)
    return np.quantile(means, [0.05, 0.95])


def print_means(draws):
    print("\ninterval of a mean that says 90 %: Student's, of the log; percentile bootstrap")
    rng = np.random.default_rng(0)
    for noise in (0.03, 0.3):
        for seeds in (2, 3, 5, 10):
            student = resampled = 0
            for _ in range(draws):
                samples = rng.lognormal(-(noise**2) / 2, noise, seeds)
                low, high = mean_interval(samples, positive=True)
                student += low <= 1 <= high
                low, high = bootstrap(samples, rng)
                resampled += low <= 1 <= high
            print(
                f"  noise {100 * noise:3.0f} %, {seeds:2} seeds: {100 * student / draws:5.1f} %  "
                f"{100 * resampled / draws:5.1f} %"
            )


def judged_losses(trial, lrs):
    """Return rates × JUDGES losses of seeds that chose nothing."""
    trial = dataclasses.replace(trial, seed=100)
    result = sf.sweep(trial, sorted(set(lrs)), seeds=JUDGES, progress=False)
    return np.array([[m.loss for m in result.members if m.lr == lr] for lr in lrs])


def regrets(trial):
    """Return three of each, one for each coarse grid: regret of the fit with its standard error.

    And the regret of the grid's best, the fit, and the best of the dense grid.
    """
    _, optimizer = trial.build(1e-3)
    dense = sf.grid(*((1e-3, 10) if isinstance(optimizer, torch.optim.SGD) else (1e-4, 1)), 9)
    chosen = sf.sweep(trial, dense, seeds=3, progress=False)
    losses = np.array([[m.loss for m in chosen.members if m.lr == lr] for lr in dense])
    rows = []
    for first in range(3):
        fit = fit_optimum(
            dense[first::3], losses[first::3], floor=0.0, generator=np.random.default_rng(0)
        )
        coarse = min(zip(losses[first::3].mean(axis=1), dense[first::3], strict=True))[1]
        if fit is None:
            raise SystemExit(f"No fit on {trial.name}.")
        rates = [fit.lr, coarse, chosen.best.lr]
        losses_there = judged_losses(trial, rates)
        loss = losses_there.mean(axis=1)
        error = np.std(losses_there[0] - losses_there[2], ddof=1) / np.sqrt(JUDGES) / loss[2]
        rows.append((loss[0] / loss[2] - 1, loss[1] / loss[2] - 1, error, fit, chosen.best.lr))
    return rows


def print_regrets():
    print("\nregret on real tasks: fit at 3 rates per decade against the best of 9 per decade")
    splits = {
        "tuning": tasks.tuning_tasks(),
        "report": tasks.report_tasks() + tasks.more_report_tasks(),
    }
    for split, trials in splits.items():
        table = []
        for trial in trials:
            rows = regrets(trial)
            table += rows
            shown = ", ".join(
                f"{100 * row[0]:.0f} ± {100 * row[2]:.0f} % ({100 * row[1]:.0f} %)" for row in rows
            )
            fit = rows[0][3]
            print(
                f"  {split} {trial.name:30} fit (grid's best): {shown}; at {fit.lr:.2g} "
                f"({fit.low:.2g} … {fit.high:.2g}), of 9 per decade {rows[0][4]:.2g}",
                flush=True,
            )
        for name, column in (("fit", 0), ("best of the grid", 1)):
            values = [row[column] for row in table]
            print(
                f"{split} {name:16} n={len(values)} median {100 * statistics.median(values):.1f} %"
                f"  worst {100 * max(values):.1f} %"
            )


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print_coverage("tuning", TUNING, draws)
    print_coverage("held out", HELD_OUT, draws)
    print_means(draws)
    print_regrets()


if __name__ == "__main__":
    main()

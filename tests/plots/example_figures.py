"""Nouns as the verbs make them, and some that nobody hopes for."""

import dataclasses
import itertools
import math

import numpy as np

from surefoot.plots import compare_runs, figure, learning_curves, schedule_figure
from surefoot.records import (
    Attempt,
    Basin,
    Cell,
    Cost,
    Curve,
    Diagnosis,
    Finding,
    Interaction,
    Member,
    Optimum,
    Point,
    Remedy,
    RunLog,
    Sensitivity,
    Verdict,
)
from surefoot.schedules import cosine, hold, linear, warmup

COST = Cost(100, 1.0, 1.0)


def sensitivity(losses, *, seeds=1, untrained=2.3, shift=0.0, name="digits"):
    """Return the U curve with these mean losses by lr; what is not finite has diverged."""
    points = tuple(
        Point(lr, loss + shift, loss + shift - 0.1, loss + shift + 0.1, seeds, 0)
        if math.isfinite(loss)
        else Point(lr, math.inf, math.inf, math.inf, seeds, seeds)
        for lr, loss in losses.items()
    )
    best = min(points, key=lambda point: point.loss)
    edge = next((p.lr for p in points if p.lr > best.lr and p.diverged), None)
    members = tuple(
        Member(point.lr, seed, point.loss + 0.05 * seed, False)
        for point in points
        for seed in range(seeds)
    )
    basin = Basin(best.lr, best.lr * 2, 0.1, open_high=edge is None)
    reason = f"Best at lr {best.lr:.3g}."
    return Sensitivity(
        points,
        best,
        basin,
        edge,
        untrained + shift,
        "validation loss",
        reason,
        COST,
        members,
        500,
        name,
    )


U = {1e-4: 2.2, 1e-3: 1.8, 1e-2: 1.0, 3e-2: 0.8, 0.1: 0.9, 0.3: 1.9, 1.0: math.inf, 3.0: math.inf}


def fitted(**changes):
    """Return a U curve of three seeds with a fitted optimum."""
    found = sensitivity(U, seeds=3)
    return dataclasses.replace(found, **{"optimum": Optimum(0.04, 0.03, 0.05, 0.78), **changes})


def with_failures():
    """Return a U curve where every member of one rate and one of another raised an exception."""
    found = sensitivity(U, seeds=3)
    first, second, *rest = found.points
    first = Point(first.lr, math.nan, math.nan, math.nan, 0, 0, 3)
    second = dataclasses.replace(second, seeds=2, failed=1)
    return dataclasses.replace(found, points=(first, second, *rest))


def interaction(shift=0.0, **over):
    """Return the U curves of all combinations; the best rate moves as the first number."""
    cells = []
    for values in itertools.product(*over.values()):
        settings = dict(zip(over, values, strict=True))
        numbers = [v for v in values if isinstance(v, (int, float))]
        factor = numbers[0] / 8 if numbers and numbers[0] > 0 else 1.0
        moved = {lr * factor: loss for lr, loss in U.items()}
        cells.append(Cell(settings, sensitivity(moved, seeds=2, shift=shift)))
    cells = tuple(cells)
    result = Interaction(tuple(over), cells, "why", COST, "digits", "validation loss")
    return dataclasses.replace(result, reason=result.law(result.names[0]))


LONG_WORDS = ["stochastic gradient descent, nesterov", "adamw with decoupled weight decay", "lion"]


def opened(result):
    """Return it with fitted optima; the first may lie below the grid, the last above."""
    cells = []
    for index, cell in enumerate(result.cells):
        found = cell.sensitivity
        best, ends = found.best, {"open_low": index == 0}
        ends["open_high"] = index == len(result.cells) - 1
        fit = Optimum(best.lr, best.lr / 2, best.lr * 2, best.loss, **ends)
        cells.append(Cell(cell.settings, dataclasses.replace(found, optimum=fit)))
    return dataclasses.replace(result, cells=tuple(cells))


def loss_curve(updates=300, *, rate=0.02, noise=0.05, diverges=None, seed=0):
    """Return a loss that falls, and from ``diverges`` on grows until it is NaN."""
    t = np.arange(updates)
    values = 2.0 * np.exp(-rate * t) + 0.3
    values *= 1 + noise * np.random.default_rng(seed).standard_normal(updates)
    if diverges is not None:
        values[diverges:] = values[diverges] * 2.0 ** np.arange(updates - diverges)
        values[values > 1e8] = np.nan
    return Curve(t, values)


def verdict(*, direction="lower", since=120, title="learning rate too high", severity="error"):
    remedy = Remedy(f"{direction}_lr", 0.1, "Multiply the rate by 0.1.")
    return Verdict(
        "LR202", title, severity, True, direction, 0.1, 0.05, 0.2, since, 0.9, {"x": 1.0}, remedy
    )


def run_log(name="digits", updates=300, **options):
    t = np.arange(updates)
    curves = {"loss": loss_curve(updates, **options), "lr": Curve(t, 0.1 * (1 - t / updates))}
    curves["validation_loss"] = Curve([100, 200], [0.9, 0.7])
    return RunLog(name, curves)


def finding():
    lrs = np.logspace(-6, 1, 80)
    losses = np.where(lrs < 0.3, 2.3 - np.minimum(lrs * 20, 1.2), 2.3 * (lrs / 0.3) ** 3)
    losses[-4:] = np.nan
    attempts = tuple(
        Attempt(lr, n, math.inf if lr > 0.5 else 1.0 + abs(math.log10(lr / 0.05)) - n / 200)
        for n, rates in ((30, (0.001, 0.01, 0.1, 1.0)), (60, (0.01, 0.1)))
        for lr in rates
    )
    reason = "Of 6 short trials the one at 0.1 had the least loss."
    sweep = Curve(lrs, losses)
    return Finding(
        0.05, 0.02, 0.2, "measured", reason, COST, 0.6, "training loss", sweep, attempts, 0.1, "cnn"
    )


def default_finding():
    reason = "No rate stands out."
    sweep = Curve([1e-6, 1e-3, 1.0], [2.3, 2.2, 2.4])
    return Finding(1e-3, 1e-4, 1e-2, "default", reason, COST, sweep=sweep, default_lr=1e-3)


FIGURES = {
    "u": lambda: figure(sensitivity(U)),
    "u of three seeds": lambda: figure(sensitivity(U, seeds=3)),
    "one point": lambda: figure(sensitivity({0.1: 1.0})),
    "all but one diverged": lambda: figure(sensitivity({0.01: 1.0, 0.1: math.inf, 1: math.inf})),
    "negative losses": lambda: figure(sensitivity(U, shift=-7.0, seeds=2)),
    "no untrained loss": lambda: figure(sensitivity(U, untrained=math.nan)),
    "huge loss": lambda: figure(sensitivity({**U, 0.3: 1e30})),
    "decades of loss": lambda: figure(sensitivity({1e-3: 2.0, 1e-2: 0.01, 0.1: 0.001, 1.0: 2.0})),
    "seven decades": lambda: figure(
        sensitivity({10.0 ** (k / 2): 2 + (k / 8) ** 2 for k in range(-12, 3)}, name="long " * 40)
    ),
    "fitted u": lambda: figure(fitted()),
    "failures": lambda: figure(with_failures()),
    "cut off u": lambda: figure(fitted(extend_to=1e-6)),
    "u open above": lambda: figure(
        fitted(optimum=Optimum(0.04, 0.03, 3.0, 0.78, open_high=True), extend_to=10.0)
    ),
    "u open on both sides": lambda: figure(
        fitted(optimum=Optimum(0.04, 1e-4, 3.0, 0.78, open_low=True, open_high=True))
    ),
    "heat map": lambda: figure(interaction(batch=[8, 16, 80])),
    "heat map of words": lambda: figure(interaction(kind=["SGD", "Adam", "a <long> $name$"])),
    "heat map of one row": lambda: figure(interaction(batch=[8])),
    "heat map, negative losses": lambda: figure(interaction(shift=-7.0, batch=[8, 16])),
    "heat map of long words": lambda: figure(interaction(optimizer=LONG_WORDS)),
    "heat map, open": lambda: figure(opened(interaction(batch=[8, 16, 80]))),
    "ridges of three settings": lambda: figure(
        opened(interaction(width=[8, 16, 32], batch=[4, 64], kind=["SGD", "Adam"]))
    ),
    "ridges of long words": lambda: figure(interaction(width=[8, 16], optimizer=LONG_WORDS)),
    "ridges along long words": lambda: figure(
        interaction(optimizer=LONG_WORDS, width=[8, 16]), along="optimizer"
    ),
    "ridges": lambda: figure(interaction(width=[8, 16, 32], kind=["SGD", "Adam"])),
    "finding": lambda: figure(finding()),
    "default": lambda: figure(default_finding()),
    "diverged": lambda: figure(
        Diagnosis("d", (verdict(),), 1.0, 0.5, 1.5, "", loss_curve(diverges=120))
    ),
    "healthy": lambda: figure(Diagnosis("h", (), loss=loss_curve())),
    "no loss": lambda: figure(Diagnosis("$\\alpha_$ <b>&", ())),
    "run": lambda: figure(run_log()),
    "one value": lambda: figure(RunLog("one", {"loss": Curve([7], [2.0])})),
    "all NaN": lambda: figure(RunLog("nan", {"loss": Curve(range(9), [math.nan] * 9)})),
    "other curve": lambda: figure(RunLog("acc", {"accuracy": Curve([0, 1], [0.1, 0.2])})),
    "curve": lambda: figure(loss_curve(), name="loss"),
    "schedule": lambda: figure(warmup("10%") >> cosine(), total=100),
    "schedules": lambda: schedule_figure(
        {"cosine": warmup(5) >> cosine(), "wsd": warmup(5) >> hold() >> linear("20%")},
        total=100,
        lr=3e-4,
    ),
    "four": lambda: learning_curves(
        {
            "lr 0.001, too low": (loss_curve(rate=0.001), "low"),
            "lr 0.1, good": (loss_curve(rate=0.05), "good"),
            "lr 0.5, high": (loss_curve(rate=0.02, noise=0.3), "high"),
            "_lr $9$, very high": (loss_curve(diverges=5), "very_high"),
        }
    ),
    "many": lambda: compare_runs({f"runs/{k}": run_log(rate=0.1 / 2**k) for k in range(12)}),
}

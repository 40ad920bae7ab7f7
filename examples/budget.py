"""Smaller rates want more epochs, unless the rate falls to zero: the best lr against the budget.

Theory, for convex losses: at a constant rate the best lr falls as 1/√T with the T updates of the
budget. In practice a decay to zero takes that away: the best peak rate stays where it is.

Try it (half a minute; --full takes one):

    python examples/budget.py
    python examples/budget.py --full

Reference: A. Defazio et al., "Optimal Linear Decay Learning Rate Schedules and Further
Refinements", 2023.
"""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from batch_size import exponent, make_trial, rates

import surefoot as sf

POWERS = (-10, -3)
PUBLISHED = {
    "hold()": {1: -5.29, 3: -6.06, 10: -6.62, 30: -7.84},
    "linear()": {1: -5.07, 3: -5.02, 10: -4.99, 30: -5.07},
}
"""log2 of the best rate by epochs, as another program measured it on this task."""
EXPONENT = {"hold()": -0.52, "linear()": 0.0}


def trial_of(epochs: float, schedule: str) -> sf.Trial:
    """Return the task of ``batch_size.py`` with Adam at batch size 64."""
    trial = make_trial(64, "Adam", epochs)
    return dataclasses.replace(trial, schedule=schedule)


def sweep(
    epochs: Sequence[float] = (1, 3, 10, 30), seeds: int = 3, per_octave: int = 2
) -> sf.Interaction:
    """Return the U curve of each budget, at a constant rate and with a decay to zero."""
    over = {"epochs": list(epochs), "schedule": list(PUBLISHED)}
    return sf.sweep(trial_of, rates(*POWERS, per_octave), over=over, seeds=seeds)


def compare(result: sf.Interaction) -> str:
    """Return a table of log2 of the best rates beside the published ones, and the laws."""
    lines: list[str] = []
    for schedule, published in PUBLISHED.items():
        lines.append(f"{schedule:<9} best lr   log2 (90 %)              published   difference")
        for point in result.ridge("epochs", schedule=schedule):
            own, low, high = (math.log2(lr) for lr in (point.lr, point.low, point.high))
            known = published[point.value]
            lines.append(
                f"{point.value:>9} {point.lr:>7.2g}   {own:+.2f} ({low:+.2f} … {high:+.2f})   "
                f"{known:>+9.2f} {own - known:>+12.2f}"
            )
        slope = result.slope("epochs", schedule=schedule)
        lines.append(f"exponent: {slope}; published {EXPONENT[schedule]:.2f}")
        lines += _without_the_longest(result, schedule)
    return "\n".join(lines)


def _without_the_longest(result: sf.Interaction, schedule: str) -> list[str]:
    """Return the exponent without 30 epochs, which overfit this task: then the ridge bends."""
    ridge = [p for p in result.ridge("epochs", schedule=schedule) if p.value < 30]
    ends = (ridge[0].value, ridge[-1].value)
    own = exponent(ends, (ridge[0].lr, ridge[-1].lr))
    logs = [PUBLISHED[schedule][value] for value in ends]
    known = exponent(ends, (2 ** logs[0], 2 ** logs[1]))
    return [f"exponent from {ends[0]} to {ends[1]}: {own:.2f}; published {known:.2f}", ""]


def main() -> None:
    """Sweep, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="eight seeds instead of three")
    parser.add_argument("--to", type=Path, default=Path(), help="folder of the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = sweep(seeds=8) if options.full else sweep()
    lines = sf.plots.save(result, options.to / "budget.png", along="epochs")
    heat = sf.plots.save(result, options.to / "budget_constant.png", schedule="hold()")
    print(f"{compare(result)}\nIt cost {result.cost}. See {lines} and {heat}.")


if __name__ == "__main__":
    main()

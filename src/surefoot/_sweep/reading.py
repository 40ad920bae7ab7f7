"""From members to the U curve: means and intervals, best, basin, edge, one sentence."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from surefoot._curves.u_curve import basin, bootstrap_interval, divergence_edge, learned_nothing
from surefoot.errors import InputError
from surefoot.records import Basin, Cost, Member, Point, Sensitivity

__all__ = ["read_sensitivity"]

INTERVAL_SEED = 0
"""Seed of the bootstrap, so that the same members give the same interval."""


def read_sensitivity(
    members: Sequence[Member],
    *,
    untrained: float,
    tolerance: float,
    metric: str,
    cost: Cost,
    steps: int,
    name: str,
) -> Sensitivity:
    """Return the U curve of the members.

    Args:
        members: at least one of them finite.
        untrained: mean loss of the untrained models; NaN if it is not known.
        tolerance: width of the basin, as a share of best − floor.
        metric: "validation loss" or "training loss".
        cost: what the members cost.
        steps: the budget in updates.
        name: the trial's name.

    Raises:
        InputError: no member stayed finite.
    """
    if not any(math.isfinite(member.loss) for member in members):
        raise InputError(
            "No member of the sweep stayed finite, at any of the rates "
            f"{min(m.lr for m in members):g} … {max(m.lr for m in members):g}: add smaller rates, "
            "and look for NaN in the data or the model."
        )
    generator = np.random.default_rng(INTERVAL_SEED)
    lrs = sorted({member.lr for member in members})
    means = [float(np.mean([m.loss for m in members if m.lr == lr])) for lr in lrs]
    usable = [(mean, lr) for mean, lr in zip(means, lrs, strict=True) if math.isfinite(mean)]
    if not usable:
        raise InputError(
            "At every rate of the sweep at least one seed stopped being finite: add smaller rates."
        )
    best_loss, best_lr = min(usable)
    marked = tuple(_mark(member, best_lr, best_loss, untrained) for member in members)
    points = tuple(
        _point([member for member in marked if member.lr == lr], generator) for lr in lrs
    )
    best = next(point for point in points if point.lr == best_lr)
    scale = best_loss if best_loss > 0 else untrained - best_loss
    scale = 0.0 if math.isnan(scale) else max(scale, 0.0)
    low, high, open_low, open_high = basin(lrs, means, tolerance=tolerance, scale=scale)
    found = Basin(low, high, tolerance, open_low, open_high)
    edge = divergence_edge(lrs, means, untrained)
    return Sensitivity(
        points=points,
        best=best,
        basin=found,
        diverges_at=edge,
        untrained=untrained,
        metric=metric,
        reason=_sentence(best, found, edge, metric, untrained, (lrs[0], lrs[-1])),
        cost=cost,
        members=marked,
        steps=steps,
        name=name,
    )


def _mark(member: Member, best_lr: float, best_loss: float, untrained: float) -> Member:
    lost = member.lr > best_lr and learned_nothing(member.loss, best_loss, untrained)
    return dataclasses.replace(member, diverged=member.diverged or lost)


def _point(members: Sequence[Member], generator: np.random.Generator) -> Point:
    losses = [member.loss for member in members]
    low, high = bootstrap_interval(losses, generator)
    return Point(
        lr=members[0].lr,
        loss=float(np.mean(losses)),
        low=low,
        high=high,
        seeds=len(members),
        diverged=sum(member.diverged for member in members),
    )


def _sentence(
    best: Point,
    found: Basin,
    edge: float | None,
    metric: str,
    untrained: float,
    ends: tuple[float, float],
) -> str:
    low_end, high_end = ends
    before = "" if math.isnan(untrained) else f", untrained {untrained:.3g}"
    parts = [
        f"Best at lr {best.lr:.3g} ({metric} {best.loss:.3g}{before})",
        f"within {100 * found.tolerance:.0f} % of it from {found.low:.2g} to {found.high:.2g}",
        f"training fails from {edge:.2g} on"
        if edge
        else "no rate of the grid is too high to learn",
    ]
    sentence = "; ".join(parts) + "."
    if low_end < high_end and best.lr == high_end:
        sentence += f" The best is the largest rate tried: extend the grid above {high_end:.2g}."
    elif low_end < high_end and best.lr == low_end:
        sentence += f" The best is the smallest rate tried: extend the grid below {low_end:.2g}."
    return sentence

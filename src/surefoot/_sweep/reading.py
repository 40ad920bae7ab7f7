"""From members to the U curve: means and intervals, best, optimum, basin, edge."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from surefoot._curves.optimum import fit_optimum
from surefoot._curves.u_curve import (
    basin,
    divergence_edge,
    extension,
    is_noise,
    learned_nothing,
    loss_at,
    loss_unit,
    mean_interval,
    safe_order,
)
from surefoot._sweep.grid import middle_of_least
from surefoot._sweep.sentence import sentence
from surefoot._sweep.stopped import around, at, known_edge
from surefoot.errors import InputError
from surefoot.records import Basin, Cost, Engine, Member, Optimum, Point, Sensitivity

__all__ = ["read_sensitivity"]

MARGIN = 2.0
"""A rate is called safe only if all went well at one so many times greater."""

FIT_SEED = 0
"""Seed of the fit, so that the same members give the same optimum."""


def read_sensitivity(
    members: Sequence[Member],
    *,
    untrained: float,
    tolerance: float,
    metric: str,
    cost: Cost,
    steps: int,
    name: str,
    engine: Engine | None = None,
) -> Sensitivity:
    """Return the U curve of the members.

    Args:
        members: at least one of them finite; one with an error takes no part in the statistics,
            and a rate that halving stopped only in what is told of it.
        untrained: mean loss of the untrained models; NaN if it is not known.
        tolerance: width of the basin, as a share of best − floor.
        metric: "validation loss" or "training loss".
        cost: what the members cost.
        steps: the budget in updates.
        name: the trial's name.
        engine: what ran the members.

    Raises:
        InputError: no member stayed finite.
    """
    if not math.isfinite(untrained):
        untrained = math.nan
    stopped = {member.lr: member.stopped for member in members if member.stopped is not None}
    ran = [member for member in members if not member.error and member.lr not in stopped]
    lrs = sorted({member.lr for member in ran})
    means = [float(np.mean([m.loss for m in ran if m.lr == lr])) for lr in lrs]
    best_loss, best_lr = _best(members, lrs, means)
    marked = tuple(_mark(member, best_lr, best_loss, untrained) for member in members)
    tried = sorted({member.lr for member in members})
    positive = all(member.loss > 0 for member in ran)
    points = tuple(
        _point([m for m in marked if m.lr == lr], positive, stopped.get(lr)) for lr in tried
    )
    unit = loss_unit(best_loss, untrained)
    table = _table(ran, lrs)
    learned = math.isnan(untrained) or not is_noise(untrained - best_loss, table)
    varies = max(means) > best_loss
    optimum = None
    if unit > 0 and learned and varies and not stopped:
        optimum = _optimum(lrs, table, best_loss - unit, least=0.0 if best_loss >= 0 else -math.inf)
    near = around(best_lr, lrs, stopped)
    near_means = [means[lrs.index(lr)] for lr in near]
    low, high, open_low, open_high = basin(near, near_means, tolerance=tolerance, unit=unit)

    def lost(lr: float) -> float:
        known = loss_at(near, near_means, lr) if near[0] <= lr <= near[-1] else at(lrs, means, lr)
        return (known - best_loss) / unit if unit > 0 else math.nan

    result = Sensitivity(
        points=points,
        best=next(point for point in points if point.lr == best_lr),
        basin=Basin(low, high, tolerance, open_low, open_high),
        diverges_at=known_edge(divergence_edge(lrs, means, untrained), stopped, lrs)
        if learned
        else None,
        untrained=untrained,
        metric=metric,
        reason="",
        cost=cost,
        members=marked,
        steps=steps,
        name=name,
        optimum=optimum,
        decade_below=lost(best_lr / 10),
        decade_above=lost(best_lr * 10),
        order=safe_order(low, min(high, _sound(points, best_lr) / MARGIN)) if learned else None,
        extend_to=extension(
            tried,
            best_lr,
            open_low=optimum is not None and optimum.open_low,
            open_high=optimum is not None and optimum.open_high,
        ),
        engine=engine,
    )
    return dataclasses.replace(result, reason=sentence(result, learned))


def _best(
    members: Sequence[Member], lrs: Sequence[float], means: Sequence[float]
) -> tuple[float, float]:
    """Return the least mean loss and its rate, of equal neighbours the middle; or say why not."""
    usable = [mean for mean in means if math.isfinite(mean)]
    if usable:
        index = middle_of_least(means)
        return means[index], lrs[index]
    if any(member.stopped is not None for member in members):
        raise InputError(
            "None of the rates that halving let go on came to the end with a finite loss: leave "
            "keep out, or add smaller rates."
        )
    if any(math.isfinite(member.loss) for member in members):
        raise InputError(
            "At every rate of the sweep at least one seed stopped being finite: add smaller rates."
        )
    errors = [f" Trainings raised, the first {m.error}." for m in members if m.error]
    raise InputError(
        "No member of the sweep stayed finite, at any of the rates "
        f"{min(m.lr for m in members):g} … {max(m.lr for m in members):g}: add smaller rates, "
        f"and look for NaN in the data or the model.{errors[0] if errors else ''}"
    )


def _sound(points: Sequence[Point], best_lr: float) -> float:
    """Return the largest rate up to which, from the best on, every training worked."""
    sound = best_lr
    for point in points:
        if point.lr >= best_lr:
            if point.diverged or point.failed or point.stopped is not None:
                break
            sound = point.lr
    return sound


def _mark(member: Member, best_lr: float, best_loss: float, untrained: float) -> Member:
    is_over = member.stopped is None  # else it may still learn
    lost = is_over and member.lr > best_lr and learned_nothing(member.loss, best_loss, untrained)
    return dataclasses.replace(member, diverged=member.diverged or (lost and not member.error))


def _point(members: Sequence[Member], positive: bool, stopped: int | None) -> Point:
    losses = [member.loss for member in members if not member.error]
    low, high = math.nan, math.nan
    if losses and stopped is None:
        low, high = mean_interval(losses, positive=positive)
    return Point(
        lr=members[0].lr,
        loss=float(np.mean(losses)) if losses else math.nan,
        low=low,
        high=high,
        seeds=len(losses),
        diverged=sum(member.diverged for member in members),
        failed=len(members) - len(losses),
        stopped=stopped,
    )


def _table(members: Sequence[Member], lrs: Sequence[float]) -> np.ndarray:
    """Return rates × seeds final losses, NaN where there was none, inf where training failed."""
    seeds = sorted({member.seed for member in members})
    losses = np.full((len(lrs), len(seeds)), np.nan)
    for member in members:
        loss = member.loss if math.isfinite(member.loss) else math.inf
        losses[lrs.index(member.lr), seeds.index(member.seed)] = loss
    return losses


def _optimum(
    lrs: Sequence[float], losses: np.ndarray, floor: float, least: float
) -> Optimum | None:
    fit = fit_optimum(lrs, losses, floor=floor, generator=np.random.default_rng(FIT_SEED))
    if fit is None:
        return None
    loss = max(fit.loss, least)
    return Optimum(fit.lr, fit.low, fit.high, loss, open_low=fit.open_low, open_high=fit.open_high)

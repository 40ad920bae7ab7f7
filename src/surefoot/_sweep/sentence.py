"""A U curve in plain words."""

import math
from collections import Counter

from surefoot.records import Optimum, Sensitivity

__all__ = ["sentence"]

LONGEST = 100
"""Characters of what a training raised that are shown."""


def sentence(result: Sensitivity, learned: bool) -> str:
    """Return what the U curve says: best rate, basin, edge, what to do next, what went wrong.

    Args:
        result: the U curve.
        learned: whether its best rate is better than no training.
    """
    if learned:
        parts = [_best(result), _basin(result), _edge(result)]
        said = ["; ".join(part for part in parts if part), _next(result)]
    else:
        said = [_nothing(result)]
    said += [_stopped(result), _failures(result)]
    return " ".join(f"{part}." for part in said if part)


def _nothing(result: Sensitivity) -> str:
    best = result.best
    noise = ", no more below it than seeds differ" if best.loss < result.untrained else ""
    whole = " that was trained to the end" if result.was_halved else ""
    return (
        f"No rate{whole} learned anything in this budget: the best, {best.lr:.3g}, has "
        f"{result.metric} {best.loss:.4g}, and untrained it is {result.untrained:.4g}{noise}"
    )


def _best(result: Sensitivity) -> str:
    best, untrained = result.best, result.untrained
    before = "" if math.isnan(untrained) else f", untrained {untrained:.3g}"
    most = max(point.seeds for point in result.points)
    few = "" if best.seeds == most else f", on {best.seeds} of {most} seeds"
    text = f"Best at lr {best.lr:.3g} ({result.metric} {best.loss:.3g}{few}{before})"
    found = result.optimum
    if found is None:
        return text
    return f"{text}, by the whole curve at {found.lr:.2g} ({_interval(found)})"


def _interval(found: Optimum) -> str:
    if found.open_low and found.open_high:
        where = "anywhere, also beyond the grid"
    elif found.open_high:
        where = f"at least {found.low:.2g}"
    elif found.open_low:
        where = f"at most {found.high:.2g}"
    else:
        where = f"{found.low:.2g} … {found.high:.2g}"
    return f"{100 * found.level:.0f} %: {where}"


def _basin(result: Sensitivity) -> str:
    found, best = result.basin, result.best.loss
    if not result.unit > 0:  # untrained losses are not known
        return ""
    text = f"within {100 * found.tolerance:.3g} % of it"
    if result.unit != best:  # of something else: what was learned
        text = f"at most {best + found.tolerance * result.unit:.3g}"
    least = "at least " if _is_cut(result) else ""
    text = f"{text} {least}from {found.low:.2g} to {found.high:.2g}"
    return text if result.order is None else f"{text}, so {result.order:g} is safe"


def _edge(result: Sensitivity) -> str:
    if result.diverges_at is None and not result.points[-1].seeds:
        return ""  # what fails above raised: that is said with the failures
    if result.diverges_at is None and _is_unknown_above(result):
        return ""
    if result.diverges_at is None:
        return "no rate of the grid is too high to learn"
    return f"training fails from {result.diverges_at:.2g} on"


def _is_unknown_above(result: Sensitivity) -> bool:
    """Return whether halving stopped a rate above the best."""
    above = [point for point in result.points if point.lr > result.best.lr]
    return any(point.stopped is not None for point in above)


def _is_cut(result: Sensitivity) -> bool:
    """Return whether the basin ends where halving stopped a rate, and so may be wider."""
    return result.was_halved and (result.basin.open_low or result.basin.open_high)


def _stopped(result: Sensitivity) -> str:
    """Return how many rates halving stopped at which update."""
    counts = Counter(point.stopped for point in result.points if point.stopped is not None)
    if not counts:
        return ""
    listed = [f"{count} at update {update}" for update, count in sorted(counts.items())]
    said = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return (
        f"Halving stopped {sum(counts.values())} of {len(result.points)} rates, {said}: of these "
        f"nothing is known after {result.steps} updates"
    )


def _next(result: Sensitivity) -> str:
    if result.extend_to is None:
        return ""
    first, last = result.points[0].lr, result.points[-1].lr
    above = result.extend_to > last
    end = "largest" if above else "smallest"
    if result.best.lr == (last if above else first):
        return f"The best is the {end} rate tried: extend the grid to {result.extend_to:g}"
    side = "above" if above else "below"
    return f"The best may lie {side} the {end} rate tried: extend the grid to {result.extend_to:g}"


def _failures(result: Sensitivity) -> str:
    failed = [member for member in result.members if member.error]
    if not failed:
        return ""
    line = " ".join(failed[0].error.split())
    error = line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
    alike = len({(m.lr, m.error) for m in failed}) == 1
    where = "at" if alike else "the first at"
    count = f"{len(failed)} of {len(result.members)} members raised"
    text = f"{count}, {where} lr {failed[0].lr:g}: {error.rstrip('.')}"
    known = max(point.lr for point in result.points if point.seeds)
    if known < result.points[-1].lr:
        text += f". Above lr {known:.3g} each of them did: nothing is known there"
    return text

"""A U curve in plain words."""

import math

from surefoot.records import Sensitivity

__all__ = ["sentence"]

LONGEST = 100
"""Characters of what a training raised that are shown."""


def sentence(result: Sensitivity) -> str:
    """Return what the U curve says: best rate, basin, edge, what to do next, what went wrong."""
    parts = [_best(result), _basin(result), _edge(result)]
    said = ["; ".join(parts), _next(result), _failures(result)]
    return " ".join(f"{part}." for part in said if part)


def _best(result: Sensitivity) -> str:
    best, untrained = result.best, result.untrained
    before = "" if math.isnan(untrained) else f", untrained {untrained:.3g}"
    text = f"Best at lr {best.lr:.3g} ({result.metric} {best.loss:.3g}{before})"
    found = result.optimum
    if found is None:
        return text
    interval = f"{100 * found.level:.0f} %: {found.low:.2g} … {found.high:.2g}"
    return f"{text}, by the whole curve at {found.lr:.2g} ({interval})"


def _basin(result: Sensitivity) -> str:
    found = result.basin
    text = f"within {100 * found.tolerance:.3g} % of it from {found.low:.2g} to {found.high:.2g}"
    return text if result.order is None else f"{text}, so {result.order:g} is safe"


def _edge(result: Sensitivity) -> str:
    if result.diverges_at is None:
        return "no rate of the grid is too high to learn"
    return f"training fails from {result.diverges_at:.2g} on"


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
    lines = failed[0].error.splitlines()[0]
    error = lines if len(lines) <= LONGEST else f"{lines[:LONGEST]}…"
    first = "the first at " if len({(m.lr, m.error) for m in failed}) > 1 else ""
    count = f"{len(failed)} of {len(result.members)} members raised"
    return f"{count}, {first}lr {failed[0].lr:g}: {error.rstrip('.')}"

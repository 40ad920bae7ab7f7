"""The U curve: loss against learning rate."""

import math
from typing import Any

import numpy as np

from surefoot.errors import InputError
from surefoot.plots._figure import Axis, FigureData, Kind, Mark, Panel, Series
from surefoot.plots._scale import at, fit, is_wide, short, span, within
from surefoot.records import Point, Sensitivity

__all__ = ["AT_THE_EDGE", "BEYOND", "sensitivity_figure"]

AT_THE_EDGE = 0.01
"""Share of an axis at its end where a triangle stands, which would be cut off on the end itself."""

BEYOND = "may lie beyond the end of the grid"
"""What a triangle at the end of an interval of the best rate says."""


def sensitivity_figure(result: Sensitivity) -> FigureData:
    """Return the U curve with its basin, its best rate and where training diverges.

    A loss that is not finite, or so large that the curve could no longer be seen, stands at the
    top edge. A rate that halving stopped is hollow, at its loss when it was stopped, and no line
    goes through it.

    Args:
        result: what ``sweep`` returned.

    Raises:
        InputError: it has no points.

    Example:
        >>> from surefoot.records import Basin, Cost
        >>> points = tuple(Point(lr, loss, loss, loss, 1, 0) for lr, loss in [(0.1, 2), (1, 1)])
        >>> basin = Basin(1, 1, 0.1)
        >>> result = Sensitivity(points, points[1], basin, None, 3.0, "loss", "why", Cost(1, 1, 1))
        >>> [mark.label for mark in sensitivity_figure(result).panels[0].marks]
        ['best tried 1', 'basin only 1', 'untrained 3']
    """
    if not result.points:
        raise InputError("The sensitivity has no points: there is nothing to draw.")
    axis = _loss_axis(result)
    top = math.inf if axis.range is None else axis.range[1]
    ends = fit([point.lr for point in result.points], log=True)
    x = Axis("learning rate", log=True, range=ends)
    series = [*_members(result, top), *_stopped(result, top), _mean(result, top)]
    series += _diverged(result, top)
    series += _best(result, ends)
    name = f": {result.name}" if result.name else ""
    panel = Panel(x, axis, tuple(series), _marks(result))
    return FigureData(f"Loss against learning rate{name}", (panel,), result.reason)


def _loss_axis(result: Sensitivity) -> Axis:
    """Return a y axis on which the U can be seen, whatever the diverged members came to."""
    after = f" after {result.steps} updates" if result.steps else ""
    best, untrained = result.best.loss, result.untrained
    losses = np.array([point.loss for point in result.points])
    losses = np.append(losses[np.isfinite(losses)], untrained if math.isfinite(untrained) else best)
    reach = np.inf if not untrained > best else untrained + (untrained - best)
    log = is_wide(np.minimum(losses, 10 * untrained if untrained > 0 else np.inf))
    limit = 10 * untrained if log and untrained > 0 else reach
    shown = losses[losses <= limit]
    bars = [bar for p in result.points for bar in (p.low, p.high) if bar <= limit]
    return Axis(
        f"{result.metric}{after}",
        log=log,
        range=fit([*shown.tolist(), *bars], log=log, pad=0.08),
    )


def _mean(result: Sensitivity, top: float) -> Series:
    points = result.points
    shown = [point.loss <= top and point.stopped is None for point in points]
    seeds = max(point.seeds for point in points)
    several = seeds > 1
    most = "" if all(point.seeds + point.failed == seeds for point in points) else "up to "
    name = f"mean of {most}{seeds} seeds, 90 % interval" if several else result.metric
    return Series(
        name,
        [point.lr for point in points],
        [point.loss if keep else np.nan for point, keep in zip(points, shown, strict=True)],
        kind="linked",
        low=_bars(points, shown, "low") if several else None,
        high=_bars(points, shown, "high") if several else None,
        emphasis="strong",
        legend=several,
    )


def _bars(points: tuple[Point, ...], shown: list[bool], end: str) -> list[float]:
    bars = (getattr(point, end) for point in points)
    return [bar if keep else math.nan for bar, keep in zip(bars, shown, strict=True)]


def _members(result: Sensitivity, top: float) -> list[Series]:
    """Return each training as a faint point, where there are several per rate."""
    if not any(point.seeds > 1 for point in result.points):
        return []
    shown = [m for m in result.members if m.loss <= top and m.stopped is None]
    if not shown:
        return []
    lrs, losses = [member.lr for member in shown], [member.loss for member in shown]
    return [Series("one seed", lrs, losses, kind="points", emphasis="faint", size=0.7)]


def _stopped(result: Sensitivity, top: float) -> list[Series]:
    """Return the rates that halving stopped, at their losses then."""
    points = [point for point in result.points if point.stopped is not None]
    shown = [point for point in points if point.loss <= top]
    above = [point.lr for point in points if not point.loss <= top]
    name = "stopped early by halving: loss when stopped"
    series: list[Series] = []
    if shown:
        lrs, losses = [point.lr for point in shown], [point.loss for point in shown]
        series.append(Series(name, lrs, losses, kind="hollow", role="muted"))
    if above:
        name = "stopped early by halving: above this axis"
        series.append(Series(name, above, [math.nan] * len(above), kind="lost", role="muted"))
    return series


def _diverged(result: Sensitivity, top: float) -> list[Series]:
    """Return where training failed: in place if that is on the axis, else at its top."""
    series: list[Series] = []
    over = [point for point in result.points if point.stopped is None]
    failed = [point for point in over if point.diverged and point.loss <= top]
    lost = [point for point in over if not point.loss <= top and point.seeds]
    raised = [point.lr for point in result.points if point.failed]
    if failed:
        lrs, losses = [point.lr for point in failed], [point.loss for point in failed]
        series.append(Series("diverged", lrs, losses, "points", "very_high", emphasis="strong"))
    if lost:
        lrs, losses = [point.lr for point in lost], [point.loss for point in lost]
        off = "not finite or above this axis"
        name = f"diverged: {off}" if all(point.diverged for point in lost) else off
        series.append(Series(name, lrs, losses, kind="lost", role="very_high"))
    if raised:
        nowhere = [math.nan] * len(raised)
        series.append(Series("raised an exception", raised, nowhere, "lost", "muted"))
    return series


def _best(result: Sensitivity, ends: tuple[float, float]) -> list[Series]:
    """Return the best measured point, and the interval of the fitted optimum at its height.

    An end that may lie beyond the grid is a triangle at the end of the axis.
    """
    best, fit = result.best, result.optimum
    look: dict[str, Any] = {"emphasis": "strong", "size": 1.6, "legend": fit is not None}
    name = f"best tried {short(best.lr)}"
    series = [Series(name, [best.lr], [best.loss], "points", "good", **look)]
    if fit is None:
        return series
    name = f"optimum of the fit, {100 * fit.level:.0f} % interval"
    caliper: dict[str, Any] = {"emphasis": "strong", "size": 0.7}
    low = at(AT_THE_EDGE, ends, log=True) if fit.open_low else fit.low
    high = at(1 - AT_THE_EDGE, ends, log=True) if fit.open_high else fit.high
    series.append(Series(name, [low, fit.lr, high], [fit.loss] * 3, "linked", "second", **caliper))
    sides: tuple[tuple[bool, Kind, float], ...]
    sides = ((fit.open_low, "left", low), (fit.open_high, "right", high))
    for is_open, kind, lr in sides:
        if is_open:
            first = series[-1].kind == "linked"  # which stands for both in the legend
            look = {"emphasis": "strong", "legend": first}
            series.append(Series(BEYOND, [lr], [fit.loss], kind, "second", **look))
    return series


def _marks(result: Sensitivity) -> tuple[Mark, ...]:
    basin, best, fit = result.basin, result.best.lr, result.optimum
    found = Mark("vertical", best, f"best tried {short(best)}", "good")
    if fit is not None:
        ends = {"open_low": fit.open_low, "open_high": fit.open_high}
        said = within(fit.lr, fit.low, fit.high, **ends)
        found = Mark("vertical", fit.lr, f"optimum {said}", "second")
    said = span(basin.low, basin.high, open_low=basin.open_low, open_high=basin.open_high)
    marks = [found, Mark("band", basin.low, f"basin {said}", "good", basin.high)]
    if result.diverges_at is not None:
        said = f"diverges from {short(result.diverges_at)}"
        marks.append(Mark("vertical", result.diverges_at, said, "very_high"))
    if result.extend_to is not None:
        lrs = [point.lr for point in result.points]
        end = min(lrs) if result.extend_to < min(lrs) else max(lrs)
        marks.append(Mark("vertical", end, f"extend the grid to {short(result.extend_to)}", "high"))
    if math.isfinite(result.untrained):
        marks.append(Mark("horizontal", result.untrained, f"untrained {short(result.untrained)}"))
    return tuple(marks)

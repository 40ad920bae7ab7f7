"""What ``find`` saw: the range test, the short trials and the rate that was chosen."""

import math

import numpy as np

from surefoot.plots._figure import Axis, FigureData, Mark, Panel, Series
from surefoot.plots._scale import fit, short
from surefoot.plots._smooth import loss_axis, loss_series, sorted_curve
from surefoot.records import Attempt, Curve, Finding

__all__ = ["finding_figure"]

_LARGEST = 1.8  # size of the points of the longest trials


def finding_figure(finding: Finding) -> FigureData:
    """Return the loss of the range test against lr, with the short trials and what was chosen.

    Args:
        finding: what ``find`` returned.
    """
    sweep = sorted_curve(finding.sweep)
    keep = sweep.steps > 0
    sweep = Curve(sweep.steps[keep], sweep.values[keep])
    finite = [attempt.loss for attempt in finding.attempts if math.isfinite(attempt.loss)]
    told = finding.forecast.finite()
    if len(told):
        finite.append(float(told.values.min()))
    shown = loss_axis([sweep], also=finite, explosion=0.6)
    label = f"{finding.metric}" if not len(sweep) else "loss"
    y = Axis(label, log=shown.log, range=shown.range)
    lines = loss_series(sweep, "range test, one update per rate", "muted", y)
    series = (*_named(lines), *_forecast(finding), *_trials(finding))
    lrs = [*sweep.steps.tolist(), *(attempt.lr for attempt in finding.attempts)]
    x = Axis("learning rate", log=True, range=fit([*lrs, finding.lr], log=True, pad=0.03))
    name = f": {finding.name}" if finding.name else ""
    panel = Panel(x, y, series, _marks(finding))
    return FigureData(f"Learning rate found{name}", (panel,), finding.reason)


def _named(lines: tuple[Series, ...]) -> list[Series]:
    """Return the range test's series; where it stopped being finite is a rate, not an update."""
    return [
        Series("range test: off this axis", line.x, line.y, "lost", "very_high")
        if line.kind == "lost"
        else line
        for line in lines
        if line.x.size
    ]


def _forecast(finding: Finding) -> list[Series]:
    """Return what is expected of the whole training, where its loss has a place on the axis."""
    told, low, high = finding.forecast, finding.forecast_low, finding.forecast_high
    if not len(told):
        return []
    name = "expected after the whole training, with 90 % interval"
    ends = low.values, high.values
    return [Series(name, told.steps, told.values, "line", "good", low=ends[0], high=ends[1])]


def _trials(finding: Finding) -> list[Series]:
    """Return the short trials: one series per length, longer ones larger."""
    lengths = sorted({attempt.updates for attempt in finding.attempts})
    series: list[Series] = []
    for index, updates in enumerate(lengths):
        group = [attempt for attempt in finding.attempts if attempt.updates == updates]
        share = (index + 1) / len(lengths)
        size = 1 + (_LARGEST - 1) * share
        kept = sorted((a for a in group if math.isfinite(a.loss)), key=lambda a: a.lr)
        if kept:
            series.append(_points(f"trials of {updates} updates", kept, size))
    lost = [attempt for attempt in finding.attempts if not math.isfinite(attempt.loss)]
    if lost:
        lrs = [attempt.lr for attempt in lost]
        name = "trials that diverged"
        series.append(Series(name, lrs, np.full(len(lrs), np.nan), "lost", "very_high"))
    return series


def _points(name: str, attempts: list[Attempt], size: float) -> Series:
    lrs, losses = [a.lr for a in attempts], [a.loss for a in attempts]
    faint = "normal" if size < _LARGEST else "strong"
    return Series(name, lrs, losses, "linked", "main", emphasis=faint, size=size)


def _marks(finding: Finding) -> tuple[Mark, ...]:
    measured = finding.source == "measured"
    role = "good" if measured else "muted"
    word = "chosen" if measured else "usual rate, unmeasured:"
    span = f"{short(finding.low)} … {short(finding.high)}"
    marks = [Mark("vertical", finding.lr, f"{word} {short(finding.lr)}", role)]
    if measured:
        marks.append(Mark("band", finding.low, f"interval {span}", role, finding.high))
    if finding.diverges_at is not None:
        said = f"diverges at {short(finding.diverges_at)}"
        marks.append(Mark("vertical", finding.diverges_at, said, "very_high"))
    return tuple(marks)

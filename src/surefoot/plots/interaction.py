"""How the best learning rate moves with other settings."""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from surefoot.plots._figure import Axis, FigureData, Heat, Kind, Panel, Series, Tick
from surefoot.plots._layout import LONGEST_LABEL, clipped
from surefoot.plots._palette import CYCLE
from surefoot.plots._scale import at as place_at
from surefoot.plots._scale import edges, fit, place, short
from surefoot.plots.sensitivity import AT_THE_EDGE, BEYOND
from surefoot.records import Cell, Interaction, Point, RidgePoint, Sensitivity
from surefoot.records.interaction import is_positive, label

__all__ = ["interaction_figure"]

_DARKEST = 9.0  # ten times the best loss of the row
_BESIDE, _BELOW = 18, 78  # characters of a line of a label, of those of all labels below an axis
_LINES = 3  # of a label
_ASIDE = 0.06, 0.4  # shares of the distance of two values: from ridge to ridge, and over all


def interaction_figure(interaction: Interaction, along: str | None = None, **at: Any) -> FigureData:
    """Return the loss over lr and one setting, or the best lr against it.

    Where one setting varies and all others are held: a heat map of one row for each value. A
    row's colour is how far its loss is above the row's best, in units of best − floor as for the
    basin. The line is the ridge, the best rate of each row, with its interval. Where several
    vary: one ridge for each combination of the others. Below stands how the best rate moves along
    that setting, or where none was named all that the interaction says.

    Args:
        interaction: what ``sweep`` with ``over`` returned.
        along: the setting that varies; None takes the first that ``at`` leaves.
        at: settings to hold at one of their values.

    Raises:
        InputError: a name or a value is not there.
    """
    free = [name for name in interaction.names if name not in at]
    whole = along is None and not at
    if along is None and free:
        along = next((n for n in free if all(map(is_positive, interaction.values(n)))), free[0])
    caption = interaction.reason if whole and interaction.reason else interaction.law(along, **at)
    others = [name for name in free if name != along]
    held = f", {label(at)}" if at else ""
    name = f": {interaction.name}" if interaction.name else ""
    title = f"Best learning rate by {along}{held}{name}"
    values = interaction.values(str(along))
    if others:
        panel = _ridges(interaction, _Places(str(along), values), others, at)
    else:
        scale = _Places(str(along), values, upright=True)
        cells = [c for c in interaction.cells if all(c.settings[n] == v for n, v in at.items())]
        panel = _heat_map(interaction, cells, scale, interaction.ridge(along, **at))
    return FigureData(title, (panel,), caption)


class _Places:
    """Where the values of a setting stand on an axis.

    Numbers > 0 stand on a logarithmic axis, so that a power law is a straight line. Other numbers
    stand at equal distances, and so do words, the first of them at the left or on top.

    Args:
        name: of the setting.
        values: its values.
        upright: whether the axis is that of the rows.
    """

    def __init__(self, name: str, values: Sequence[Any], *, upright: bool = False) -> None:
        self.name = name
        self.ordered = all(map(_is_number, values))
        self.values = sorted(values) if self.ordered else list(values)
        if upright and not self.ordered:
            self.values.reverse()
        self.log = len(values) > 1 and all(map(is_positive, values))

    def at(self, value: Any) -> float:
        """Return the place of a value."""
        return float(value) if self.log else float(self.values.index(value))

    def beside(self, values: Sequence[Any], index: int, count: int) -> list[float]:
        """Return the places of values on the line of that number, a little beside each other."""
        places = sorted(self.at(value) for value in self.values)
        steps = [math.log(b / a) if self.log else b - a for a, b in pairwise(places)]
        each, most = _ASIDE
        aside = min(steps, default=1.0) * min(each, most / count) * (index - (count - 1) / 2)
        found = [self.at(value) for value in values]
        return [at * math.exp(aside) if self.log else at + aside for at in found]

    def axis(self, longest: int = _BESIDE) -> Axis:
        """Return the axis, labelled at the values with lines of so many characters."""
        places = sorted(self.at(value) for value in self.values)
        ends = edges(places, log=self.log)
        ticks = tuple(Tick(self.at(value), _said(value, longest)) for value in self.values)
        return Axis(
            self.name, self.log, (float(ends[0]), float(ends[-1])), _spaced(ticks, self, ends)
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(value: Any, longest: int) -> str:
    """Return a value in a few short lines."""
    if _is_number(value):
        return short(value)
    lines = textwrap.wrap(clipped(str(value), 10 * longest), longest) or [""]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], clipped(" ".join(lines[_LINES - 1 :]), longest)]
    return "\n".join(lines)


def _spaced(ticks: tuple[Tick, ...], rows: _Places, ends: Any) -> tuple[Tick, ...]:
    """Leave out ticks that would stand on another."""
    kept: list[Tick] = []
    places: list[float] = []
    for tick in sorted(ticks, key=lambda tick: tick.at):
        where = place(tick.at, (ends[0], ends[-1]), log=rows.log)
        if not places or where - places[-1] > 0.045:
            kept.append(tick)
            places.append(where)
    return tuple(kept)


# ---------------------------------------------------------------- one setting


def _heat_map(
    interaction: Interaction, cells: Sequence[Cell], rows: _Places, ridge: Sequence[RidgePoint]
) -> Panel:
    cells = sorted(cells, key=lambda cell: rows.at(cell.settings[rows.name]))
    lrs = sorted({point.lr for cell in cells for point in cell.sensitivity.points})
    z = np.array([_row(cell.sensitivity, lrs) for cell in cells])
    known = z[np.isfinite(z)]
    top = float(np.clip(known.max(initial=0.0), 0.1, _DARKEST))
    heights = [rows.at(cell.settings[rows.name]) for cell in cells]
    heat = Heat(f"{interaction.metric} above the row's best", lrs, heights, z, top)
    ends = edges(lrs, log=True)
    x = Axis("learning rate", log=True, range=(float(ends[0]), float(ends[-1])))
    series = (*_crosses(cells, rows), *_ridge(ridge, rows, (float(ends[0]), float(ends[-1]))))
    return Panel(x, rows.axis(), series, (), heat)


def _row(found: Sensitivity, lrs: Sequence[float]) -> list[float]:
    """Return how far the loss is above the row's best, at the measured rate nearest to each."""
    best = found.best.loss
    unit = found.unit if found.unit > 0 else 1.0
    measured = np.log([point.lr for point in found.points])
    row: list[float] = []
    for lr in lrs:
        inside = found.points[0].lr <= lr <= found.points[-1].lr
        nearest = found.points[int(np.argmin(np.abs(measured - math.log(lr))))]
        shown = inside and math.isfinite(nearest.loss) and nearest.diverged < nearest.seeds
        shown = shown and nearest.stopped is None
        row.append(max(nearest.loss - best, 0.0) / unit if shown else math.nan)
    return row


def _crosses(cells: Sequence[Cell], rows: _Places) -> list[Series]:
    """Return where training failed, for some seeds or for all."""
    failed: list[tuple[Point, float]] = [
        (point, rows.at(cell.settings[rows.name]))
        for cell in cells
        for point in cell.sensitivity.points
        if point.diverged or point.failed
    ]
    if not failed:
        return []
    lrs, heights = [point.lr for point, _ in failed], [height for _, height in failed]
    return [Series("training fails, at least for one seed", lrs, heights, "points", "very_high")]


def _ridge(ridge: Sequence[RidgePoint], rows: _Places, axis: tuple[float, float]) -> list[Series]:
    ridge = sorted(ridge, key=lambda point: rows.at(point.value))
    lrs, heights = [point.lr for point in ridge], [rows.at(point.value) for point in ridge]
    ends = [end for point in ridge for end in (point.low, point.high, math.nan)]
    across = [height for height in heights for _ in range(3)]
    kind = "linked" if rows.ordered else "points"
    inside = [place_at(share, axis, log=True) for share in (AT_THE_EDGE, 1 - AT_THE_EDGE)]
    series = [
        Series("interval", ends, across, "line", "ink", legend=False),
        Series("best lr, with its interval", lrs, heights, kind, "ink", emphasis="strong"),
    ]
    for side, places in _open_ends(ridge, heights, "left", "right"):
        heights_there, at = [height for height, _ in places], [lr for _, lr in places]
        at = [min(max(lr, inside[0]), inside[1]) for lr in at]
        first = len(series) == 2  # which stands for both in the legend
        series.append(
            Series(BEYOND, at, heights_there, side, "ink", emphasis="strong", legend=first)
        )
    return series


def _open_ends(
    ridge: Sequence[RidgePoint], places: Sequence[float], low: Kind, high: Kind
) -> list[tuple[Kind, list[tuple[float, float]]]]:
    """Return where intervals may go on beyond the grid: (which way, [(place, rate)])."""
    pairs = list(zip(ridge, places, strict=True))
    ends: list[tuple[Kind, list[tuple[float, float]]]] = [
        (low, [(at, point.low) for point, at in pairs if point.open_low]),
        (high, [(at, point.high) for point, at in pairs if point.open_high]),
    ]
    return [(side, found) for side, found in ends if found]


# ---------------------------------------------------------------- several settings


def _ridges(
    interaction: Interaction, rows: _Places, others: Sequence[str], at: dict[str, Any]
) -> Panel:
    combinations = dict.fromkeys(
        tuple(cell.settings[name] for name in others)
        for cell in interaction.cells
        if all(cell.settings[name] == value for name, value in at.items())
    )
    names = [label(dict(zip(others, values, strict=True))) for values in combinations]
    in_margin = all(len(name) <= LONGEST_LABEL for name in names)
    series: list[Series] = []
    arrows: list[Series] = []
    bars: list[float] = []
    for index, values in enumerate(combinations):
        chosen = dict(zip(others, values, strict=True))
        ridge = interaction.ridge(rows.name, **at, **chosen)
        ridge = sorted(ridge, key=lambda point: rows.at(point.value))
        bars += [end for point in ridge for end in (point.low, point.high)]
        places = rows.beside([point.value for point in ridge], index, len(names))
        role = CYCLE[index % len(CYCLE)]
        series.append(
            Series(
                f"best lr, {names[index]}",
                places,
                [point.lr for point in ridge],
                "linked",
                role,
                low=[point.low for point in ridge],
                high=[point.high for point in ridge],
                label=names[index] if in_margin else "",
            )
        )
        for side, found in _open_ends(ridge, places, "down", "up"):
            where, ends = [x for x, _ in found], [lr for _, lr in found]
            arrows.append(Series(BEYOND, where, ends, side, role, legend=not arrows))
    x = rows.axis(max(_BELOW // max(len(rows.values), 1), 6))
    y = Axis("best lr", log=True, range=fit(bars, log=True))
    return Panel(x, y, (*series, *arrows))

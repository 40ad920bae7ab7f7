"""How the best learning rate moves with other settings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.plots._figure import Axis, FigureData, Heat, Panel, Series, Tick
from surefoot.plots._palette import CYCLE
from surefoot.plots._scale import edges, fit, place, short
from surefoot.records import Cell, Interaction, Point, RidgePoint, Sensitivity
from surefoot.records.interaction import is_positive, label

__all__ = ["interaction_figure"]

_DARKEST = 9.0  # ten times the best loss of the row


def interaction_figure(interaction: Interaction, along: str | None = None, **at: Any) -> FigureData:
    """Return the loss over lr and one setting, or the best lr against it.

    Where one setting varies and all others are held: a heat map of one row for each value. A
    row's colour is how far its loss is above the row's best, in units of best − floor as for the
    basin. The line is the ridge, the best rate of each row, with its interval. Where several
    vary: one ridge for each combination of the others.

    Args:
        interaction: what ``sweep`` with ``over`` returned.
        along: the setting that varies; None takes the first that ``at`` leaves.
        at: settings to hold at one of their values.

    Raises:
        InputError: a name or a value is not there.
    """
    free = [name for name in interaction.names if name not in at]
    if along is None and free:
        along = next((n for n in free if all(map(is_positive, interaction.values(n)))), free[0])
    caption = interaction.law(along, **at)
    others = [name for name in free if name != along]
    held = f", {label(at)}" if at else ""
    name = f": {interaction.name}" if interaction.name else ""
    title = f"Best learning rate by {along}{held}{name}"
    scale = _Rows(str(along), interaction.values(str(along)))
    if others:
        panel = _ridges(interaction, scale, others, at)
    else:
        cells = [c for c in interaction.cells if all(c.settings[n] == v for n, v in at.items())]
        panel = _heat_map(interaction, cells, scale, interaction.ridge(along, **at))
    return FigureData(title, (panel,), caption)


class _Rows:
    """Where the values of a setting stand on an axis.

    Numbers > 0 stand on a logarithmic axis, so that a power law is a straight line. Other numbers
    stand at equal distances, and so do words, the first of them on top.

    Args:
        name: of the setting.
        values: its values.
    """

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        self.name = name
        self.ordered = all(map(_is_number, values))
        self.values = sorted(values) if self.ordered else [*reversed(values)]
        self.log = len(values) > 1 and all(map(is_positive, values))

    def at(self, value: Any) -> float:
        """Return the place of a value."""
        return float(value) if self.log else float(self.values.index(value))

    def axis(self) -> Axis:
        """Return the axis, labelled at the values."""
        places = sorted(self.at(value) for value in self.values)
        ends = edges(places, log=self.log)
        ticks = tuple(Tick(self.at(value), _said(value)) for value in self.values)
        return Axis(
            self.name, self.log, (float(ends[0]), float(ends[-1])), _spaced(ticks, self, ends)
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(value: Any) -> str:
    return short(value) if _is_number(value) else str(value)


def _spaced(ticks: tuple[Tick, ...], rows: _Rows, ends: Any) -> tuple[Tick, ...]:
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
    interaction: Interaction, cells: Sequence[Cell], rows: _Rows, ridge: Sequence[RidgePoint]
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
    return Panel(x, rows.axis(), (*_crosses(cells, rows), *_ridge(ridge, rows)), (), heat)


def _row(found: Sensitivity, lrs: Sequence[float]) -> list[float]:
    """Return how far the loss is above the row's best, at the measured rate nearest to each."""
    best = found.best.loss
    floor = best if best > 0 else found.untrained - best
    unit = floor if floor > 0 else 1.0
    measured = np.log([point.lr for point in found.points])
    row: list[float] = []
    for lr in lrs:
        inside = found.points[0].lr <= lr <= found.points[-1].lr
        nearest = found.points[int(np.argmin(np.abs(measured - math.log(lr))))]
        shown = inside and math.isfinite(nearest.loss) and nearest.diverged < nearest.seeds
        row.append(max(nearest.loss - best, 0.0) / unit if shown else math.nan)
    return row


def _crosses(cells: Sequence[Cell], rows: _Rows) -> list[Series]:
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


def _ridge(ridge: Sequence[RidgePoint], rows: _Rows) -> list[Series]:
    ridge = sorted(ridge, key=lambda point: rows.at(point.value))
    lrs, heights = [point.lr for point in ridge], [rows.at(point.value) for point in ridge]
    ends = [end for point in ridge for end in (point.low, point.high, math.nan)]
    across = [height for height in heights for _ in range(3)]
    kind = "linked" if rows.ordered else "points"
    return [
        Series("interval", ends, across, "line", "ink", legend=False),
        Series("best lr, with its interval", lrs, heights, kind, "ink", emphasis="strong"),
    ]


# ---------------------------------------------------------------- several settings


def _ridges(
    interaction: Interaction, rows: _Rows, others: Sequence[str], at: dict[str, Any]
) -> Panel:
    combinations = dict.fromkeys(
        tuple(cell.settings[name] for name in others)
        for cell in interaction.cells
        if all(cell.settings[name] == value for name, value in at.items())
    )
    series: list[Series] = []
    bars: list[float] = []
    for index, values in enumerate(combinations):
        chosen = dict(zip(others, values, strict=True))
        ridge = interaction.ridge(rows.name, **at, **chosen)
        ridge = sorted(ridge, key=lambda point: rows.at(point.value))
        bars += [end for point in ridge for end in (point.low, point.high)]
        series.append(
            Series(
                f"best lr, {label(chosen)}",
                [rows.at(point.value) for point in ridge],
                [point.lr for point in ridge],
                "linked",
                CYCLE[index % len(CYCLE)],
                low=[point.low for point in ridge],
                high=[point.high for point in ridge],
                label=label(chosen),
            )
        )
    return Panel(rows.axis(), Axis("best lr", log=True, range=fit(bars, log=True)), tuple(series))

"""Where labels go, the same for every renderer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.plots._figure import Axis, FigureData, Heat, Panel, Series
from surefoot.plots._scale import at, edges, fit, place, tick_texts, ticks

__all__ = [
    "CHARACTER",
    "LONGEST_LABEL",
    "Frame",
    "SideLabel",
    "TopLabel",
    "axis_ticks",
    "clipped",
    "frame",
    "heat_edges",
    "heat_ticks",
    "is_empty",
    "ordered",
    "side_labels",
]

CHARACTER = 7.0
"""Width of one character of a label, in pixels, for a font of 12 pixels; on the safe side."""

LONGEST_LABEL = 24
_PERCENT = (0.0, 0.1, 0.3, 1.0, 3.0, 9.0)


@dataclass(frozen=True)
class TopLabel:
    """The label of a vertical mark, above the panel.

    Args:
        x: where it points, in the unit of the axis.
        text: the label.
        role: its colour.
        row: 0 is next to the panel.
        anchor: which part of the text stands at ``x``.
    """

    x: float
    text: str
    role: str
    row: int
    anchor: Literal["start", "middle", "end"]


@dataclass(frozen=True)
class SideLabel:
    """A label to the right of the panel.

    Args:
        at: its height, 0 … 1.
        text: the label.
        role: its colour.
        is_level: it belongs to a horizontal mark, not to the end of a line.
    """

    at: float
    text: str
    role: str
    is_level: bool


@dataclass(frozen=True)
class Frame:
    """The ranges of a panel and its labels; ``raised`` where signs stand on its top edge."""

    x: tuple[float, float]
    y: tuple[float, float]
    top: tuple[TopLabel, ...]
    side: tuple[SideLabel, ...]
    raised: bool = False

    @property
    def rows(self) -> int:
        """How many rows of labels stand above the panel."""
        return 1 + max((label.row for label in self.top), default=-1)


def ordered(panel: Panel) -> list[Series]:
    """Return the series from back to front: raw values first, the strong ones last."""
    order = {"faint": 0, "normal": 1, "strong": 2}
    return sorted(panel.series, key=lambda series: order[series.emphasis])


def is_empty(panel: Panel) -> bool:
    """Return whether there is nothing finite to draw."""
    if panel.heat is not None:
        return not np.isfinite(panel.heat.z).any()
    return not any(np.isfinite(series.y).any() for series in panel.series)


def axis_ticks(axis: Axis, ends: tuple[float, float], most: int) -> tuple[list[float], list[str]]:
    """Return the labelled places of an axis and their texts: its own, or round numbers."""
    if axis.ticks:
        return [tick.at for tick in axis.ticks], [tick.text for tick in axis.ticks]
    places = ticks(ends, log=axis.log, most=most)
    return places, tick_texts(places)


def heat_edges(panel: Panel, heat: Heat) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the edges of the columns and of the rows."""
    x = edges(heat.x.tolist(), log=panel.x.log)
    return x, edges(heat.y.tolist(), log=panel.y.log)


def heat_ticks(heat: Heat) -> tuple[list[float], list[str]]:
    """Return the shades that the scale of a heat map labels, and their texts."""
    values = [value for value in _PERCENT if value <= heat.top]
    said = ["best", *(f"+{100 * value:g} %" for value in values[1:])]
    if values[-1] == heat.top and bool((heat.z > heat.top).any()):
        said[-1] += " or more"
    return heat.shade(values).tolist(), said


def clipped(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return the text, with an ellipsis in its middle where it is too long."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def frame(
    figure: FigureData, panel: Panel, *, width: float = 560.0, height: float = 300.0
) -> Frame:
    """Return the ranges and labels of a panel that is about ``width`` × ``height`` pixels."""
    x = _shared_x(figure)
    y = panel.y.range or _fitted_y(panel)
    top = _top_labels(panel, x, width) if panel is figure.panels[0] else ()
    raised = any(series.kind == "lost" and series.x.size for series in panel.series)
    return Frame(x, y, tuple(top), tuple(side_labels(panel, y, 16.0 / height)), raised)


def _shared_x(figure: FigureData) -> tuple[float, float]:
    axis = figure.panels[0].x
    if axis.range is not None:
        return axis.range
    values = [float(value) for panel in figure.panels for s in panel.series for value in s.x]
    values += [e for p in figure.panels if p.heat for e in heat_edges(p, p.heat)[0].tolist()]
    for panel in figure.panels:
        for mark in panel.marks:
            if mark.kind != "horizontal":
                values += [mark.at, mark.end]
    return fit(values, log=axis.log, pad=0.04 if axis.log else 0.02)


def _fitted_y(panel: Panel) -> tuple[float, float]:
    values = [mark.at for mark in panel.marks if mark.kind == "horizontal"]
    for series in panel.series:
        for column in (series.y, series.low, series.high):
            if column is not None and series.kind != "lost":
                values += column.tolist()
    return fit(values, log=panel.y.log, pad=0.06)


def _top_labels(panel: Panel, x: tuple[float, float], width: float) -> list[TopLabel]:
    """Give each label the lowest row in which it overlaps no other."""
    taken: list[list[tuple[float, float]]] = []
    labels: list[TopLabel] = []
    for mark in panel.marks:
        if mark.kind == "horizontal" or not mark.label:
            continue
        ends = [place(end, x, log=panel.x.log) for end in (mark.at, mark.end)]
        centre = sum(min(max(end, 0.0), 1.0) for end in ends) / len(ends)
        size = len(mark.label) * CHARACTER / width
        anchor, start = _anchored(centre, size)
        gap = 2 * CHARACTER / width
        box = (start - gap, start + size + gap)
        row = next((i for i, boxes in enumerate(taken) if _is_free(box, boxes)), len(taken))
        if row == len(taken):
            taken.append([])
        taken[row].append(box)
        labels.append(TopLabel(at(centre, x, log=panel.x.log), mark.label, mark.role, row, anchor))
    return labels


def _anchored(centre: float, size: float) -> tuple[Literal["start", "middle", "end"], float]:
    if centre - size / 2 < 0:
        return "start", centre
    if centre + size / 2 > 1:
        return "end", centre - size
    return "middle", centre - size / 2


def _is_free(box: tuple[float, float], boxes: Sequence[tuple[float, float]]) -> bool:
    return all(box[1] <= other[0] or other[1] <= box[0] for other in boxes)


def side_labels(panel: Panel, y: tuple[float, float], gap: float) -> list[SideLabel]:
    """Return the labels at the right side, at least ``gap`` (share of the height) apart."""
    wanted: list[SideLabel] = []
    for series in panel.series:
        if series.label and series.x.size:
            finite = np.flatnonzero(np.isfinite(series.y))
            last = finite[-1] if finite.size else -1
            lost = not finite.size or last < series.y.size - 1
            end = 1.0 if lost else place(float(series.y[last]), y, log=panel.y.log)
            wanted.append(SideLabel(end, clipped(series.label), series.role, is_level=False))
    for mark in panel.marks:
        if mark.kind == "horizontal" and mark.label:
            end = place(mark.at, y, log=panel.y.log)
            wanted.append(SideLabel(end, clipped(mark.label), mark.role, is_level=True))
    wanted = [replace(label, at=min(max(label.at, 0.0), 1.0)) for label in wanted]
    wanted.sort(key=lambda label: label.at)
    heights = _spread([label.at for label in wanted], gap)
    return [replace(label, at=height) for label, height in zip(wanted, heights, strict=True)]


def _spread(heights: list[float], gap: float) -> list[float]:
    """Return the ascending heights moved as little as needed to be ``gap`` apart, within 0 … 1."""
    if len(heights) > 1:
        gap = min(gap, 1.0 / (len(heights) - 1))
    groups: list[tuple[float, int]] = []  # centre and number of labels that touch
    for height in heights:
        centre, number = height, 1
        while groups:
            before, count = groups[-1]
            if centre - (number - 1) * gap / 2 - (before + (count - 1) * gap / 2) >= gap:
                break
            groups.pop()
            centre = (centre * number + before * count) / (number + count)
            number += count
            half = (number - 1) * gap / 2
            centre = min(max(centre, half), 1 - half)
        groups.append((centre, number))
    return [
        centre + (index - (number - 1) / 2) * gap
        for centre, number in groups
        for index in range(number)
    ]

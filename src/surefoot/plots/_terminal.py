"""Figure data as text for a terminal; colour is not needed to understand it."""

import math
import textwrap
from collections.abc import Iterator

import numpy as np

from surefoot._base.checks import count
from surefoot.plots._canvas import Canvas
from surefoot.plots._figure import FigureData, Heat, Panel, Series
from surefoot.plots._layout import (
    Frame,
    TopLabel,
    axis_ticks,
    clipped,
    frame,
    heat_edges,
    is_empty,
)
from surefoot.plots._scale import at, place, short

__all__ = ["draw_text"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_POINTS = "●○◆◇■□"
_TRIANGLES = {"left": "◀", "right": "▶", "up": "▲", "down": "▼", "lost": "▲"}
_SHADES = "█▓▒░ "  # of a heat map, from the smallest value to the largest


def draw_text(figure: FigureData, width: int = 80, height: int = 20) -> str:
    """Return the figure as lines of text.

    Args:
        figure: what to draw.
        width: characters of the longest line, ≥ 40.
        height: rows of the first panel's plot area, ≥ 5; further panels have half of it.
    """
    count("width", width, least=40)
    count("height", height, least=5)
    lines = [clipped(figure.title, width)]
    for index, panel in enumerate(figure.panels):
        rows = height if index == 0 else max(height // 2, 5)
        lines += _panel(figure, panel, width, rows)
    if figure.caption:
        lines += ["", *textwrap.wrap(figure.caption, width)]
    return "\n".join(line.rstrip() for line in lines)


def _panel(figure: FigureData, panel: Panel, width: int, rows: int) -> list[str]:
    heights, texts = axis_ticks(panel.y, frame(figure, panel).y, max(rows // 3, 2))
    texts = [clipped(text, max(width // 4, 8)) for text in texts]
    gutter = max((len(tick) for tick in texts), default=0) + 1
    columns = width - gutter - 2
    spot = frame(figure, panel, width=7.0 * columns, height=16.0 * rows)
    canvas = Canvas(columns, rows)
    legend = _draw(canvas, panel, spot)
    named = {
        canvas.cell(0, place(tick, spot.y, log=panel.y.log))[1]: said
        for tick, said in zip(heights, texts, strict=True)
    }
    margin = " " * (gutter + 1)
    lines = [margin + clipped(panel.y.label, columns)]
    lines += [margin + line for line in _above(spot, columns, panel.x.log)]
    for row, line in enumerate(canvas.lines()):
        tick = named.get(row, "")
        lines.append(f"{tick:>{gutter}}{'┤' if tick else '│'}{line}")
    lines += [" " * gutter + line for line in _below(panel, spot, columns)]
    return [*lines, *(f"  {clipped(line, width - 2)}" for line in legend)]


def _draw(canvas: Canvas, panel: Panel, spot: Frame) -> list[str]:
    """Draw what the panel holds and return the lines of the legend."""
    lines = [s for s in panel.series if s.emphasis != "faint" and s.kind in ("line", "step")]
    letters = iter(_LETTERS if len(lines) > 1 else "")
    points = iter(_POINTS)
    legend: dict[int, str] = {}
    if panel.heat is not None:
        _heat(canvas, panel, panel.heat, spot)
    for number, series in enumerate(panel.series):
        if series.emphasis == "faint":
            continue
        sign = _sign(series, letters, points)
        _draw_series(canvas, panel, spot, series, sign, number)
        legend[number] = f"{sign} {series.label or series.name}"
    _marks(canvas, panel, spot)
    if is_empty(panel):
        for index, letter in enumerate("no finite value was recorded"):
            canvas.sign(0.5 + (index - 14) / canvas.columns, 0.5, letter)
    listed = [
        legend[number]
        for number, series in enumerate(panel.series)
        if number in legend and (series.in_legend or series.label or series.kind == "lost")
    ]
    if panel.heat is not None:
        listed.append(_shade_legend(panel.heat))
    levels = [f"╌ {mark.label}" for mark in panel.marks if mark.kind == "horizontal"]
    return listed + levels


def _draw_series(
    canvas: Canvas, panel: Panel, spot: Frame, series: Series, sign: str, number: int
) -> None:
    x = [place(value, spot.x, log=panel.x.log) for value in series.x.tolist()]
    y = [place(value, spot.y, log=panel.y.log) for value in series.y.tolist()]
    if series.kind in ("line", "step", "linked"):
        _lines(canvas, x, y, step=series.kind == "step")
    if series.kind == "lost":
        _put(canvas, x, [1.0] * len(x), sign)
    elif series.kind in ("points", "hollow", "linked") or series.kind in _TRIANGLES:
        _put(canvas, x, y, sign)
    elif sign in _LETTERS:
        _tag(canvas, x, y, sign, number)


def _heat(canvas: Canvas, panel: Panel, heat: Heat, spot: Frame) -> None:
    """Shade each character by the cell in which its middle lies."""
    across, up = heat_edges(panel, heat)
    shades = heat.shades
    for row in range(canvas.rows):
        y = at(1 - (row + 0.5) / canvas.rows, spot.y, log=panel.y.log)
        i = int(np.searchsorted(up, y)) - 1
        for column in range(canvas.columns):
            x = at((column + 0.5) / canvas.columns, spot.x, log=panel.x.log)
            j = int(np.searchsorted(across, x)) - 1
            inside = 0 <= i < len(heat.y) and 0 <= j < len(heat.x)
            if inside and math.isfinite(shades[i, j]):
                darkness = min(int(shades[i, j] * len(_SHADES)), len(_SHADES) - 1)
                canvas.fill(column, row, _SHADES[darkness])


def _shade_legend(heat: Heat) -> str:
    """Return up to which value each shade goes."""
    ends = [heat.value((index + 1) / len(_SHADES)) for index in range(len(_SHADES) - 1)]
    shades = zip(_SHADES, ends, strict=False)
    return "Above the best: " + ", ".join(f"{s} to +{short(100 * end, 2)} %" for s, end in shades)


def _sign(series: Series, letters: Iterator[str], points: Iterator[str]) -> str:
    """Return the character that stands for the series."""
    if series.kind in _TRIANGLES:
        return _TRIANGLES[series.kind]
    if series.kind == "hollow":
        return "○"
    if series.kind in ("line", "step"):
        return next(letters, "─")
    if series.kind == "points" and series.role in ("good", "very_high"):
        return "★" if series.role == "good" else "✕"
    return next(points, "•")


def _put(canvas: Canvas, x: list[float], y: list[float], sign: str) -> None:
    for across, up in zip(x, y, strict=True):
        if math.isfinite(across) and math.isfinite(up) and -0.01 <= up <= 1.01:
            canvas.sign(across, up, sign)


def _lines(canvas: Canvas, x: list[float], y: list[float], *, step: bool) -> None:
    for index in range(1, len(x)):
        if step:
            canvas.line(x[index - 1], y[index - 1], x[index], y[index - 1])
            canvas.line(x[index], y[index - 1], x[index], y[index])
        else:
            canvas.line(x[index - 1], y[index - 1], x[index], y[index])


def _tag(canvas: Canvas, x: list[float], y: list[float], letter: str, number: int) -> None:
    """Write the letter of a line at some places along it, others than those of the other lines."""
    inside = [i for i, up in enumerate(y) if math.isfinite(up) and 0 <= up <= 1]
    if not inside:
        return
    across = np.array([x[i] for i in inside])
    for start in (0.12, 0.45, 0.78):
        nearest = inside[int(np.argmin(np.abs(across - start - 0.05 * (number % 5))))]
        canvas.sign(x[nearest], y[nearest], letter)


def _marks(canvas: Canvas, panel: Panel, spot: Frame) -> None:
    for mark in panel.marks:
        if mark.kind == "horizontal":
            at = place(mark.at, spot.y, log=panel.y.log)
            for column in range(0, canvas.columns, 2):
                canvas.sign(column / (canvas.columns - 1), at, "╌", over=False)
            continue
        for end in (mark.at, mark.end):
            at = place(end, spot.x, log=panel.x.log)
            sign = "┊" if mark.kind == "vertical" else "·"
            for row in range(canvas.rows):
                canvas.sign(at, 1 - row / (canvas.rows - 1), sign, over=False)


def _above(spot: Frame, columns: int, log: bool) -> list[str]:
    """Return the labels of the marks, highest row first."""
    lines: list[str] = []
    for row in range(spot.rows - 1, -1, -1):
        line = [" "] * (columns + 1)
        for label in spot.top:
            if label.row == row:
                said = clipped(label.text, columns)
                start = _start(label, len(said), place(label.x, spot.x, log=log), columns)
                line[start : start + len(said)] = said
        lines.append("".join(line[: columns + 1]))
    return lines


def _start(label: TopLabel, size: int, at: float, columns: int) -> int:
    shift = {"start": 0, "middle": size // 2, "end": size - 1}[label.anchor]
    return max(min(round(at * (columns - 1)) - shift, columns - size), 0)


def _below(panel: Panel, spot: Frame, columns: int) -> list[str]:
    """Return the x axis, its numbers and its label; the part under a band is thick."""
    axis = ["─"] * columns
    for mark in panel.marks:
        if mark.kind == "band":
            ends = [place(end, spot.x, log=panel.x.log) for end in (mark.at, mark.end)]
            first, last = (round(min(max(end, 0.0), 1.0) * (columns - 1)) for end in ends)
            axis[first : last + 1] = "━" * (last + 1 - first)
    numbers = [" "] * (columns + 8)
    free = 0
    places = axis_ticks(panel.x, spot.x, max(columns // 9, 2))
    for tick, said in zip(*places, strict=True):
        text = clipped(said, max(columns // max(len(places[0]), 1) - 1, 6))
        column = round(place(tick, spot.x, log=panel.x.log) * (columns - 1))
        axis[column] = "┬"
        start = max(column - len(text) // 2, 0)
        if start >= free and start + len(text) <= columns + 1:
            numbers[start : start + len(text)] = text
            free = start + len(text) + 1
    label = panel.x.label + (" (log)" if panel.x.log else "")
    return ["└" + "".join(axis), " " + "".join(numbers), f"{label:^{columns}}"]

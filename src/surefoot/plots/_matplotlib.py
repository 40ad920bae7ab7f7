"""Figure data on matplotlib axes. No global state: the axes are given."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot._base.lazy import need
from surefoot.errors import InputError
from surefoot.plots._figure import Axis, FigureData, Heat, Mark, Panel, Series
from surefoot.plots._layout import (
    Frame,
    axis_ticks,
    clipped,
    frame,
    heat_edges,
    heat_ticks,
    is_empty,
    ordered,
)
from surefoot.plots._palette import HEAT, style

__all__ = ["draw_matplotlib", "save_matplotlib"]

ROW = 12.5  # points of a row of labels above a panel
RAISE = 5.0  # points that a sign on the top edge needs
_TITLE_LINE = 70
_LEGEND = 88  # characters of the names that fit beside each other under a saved figure
_TEXT = "#3d4148"
_ANCHOR = {"start": "left", "middle": "center", "end": "right"}
_WIDTH = {"faint": 0.8, "normal": 1.6, "strong": 2.0}
_DASH = {"solid": "-", "dash": "--"}
_FAINT = 0.28
_TRIANGLES = {"left": "<", "right": ">", "up": "^", "down": "v"}


def draw_matplotlib(figure: FigureData, ax: Any, *, legend: str = "best") -> None:
    """Draw on the given axes; a figure that holds no others and no layout is given a layout.

    Args:
        figure: what to draw.
        ax: one ``matplotlib.axes.Axes``, or a sequence of as many as the figure has panels.
        legend: ``"best"`` puts it where it covers least, ``"below"`` under the last panel.

    Raises:
        InputError: the number of axes does not fit the figure.
    """
    axes = _axes(figure, ax)
    for index, (panel, one) in enumerate(zip(figure.panels, axes, strict=True)):
        last = index == len(axes) - 1
        place = frame(figure, panel)
        _draw_axis(one, panel.x, place.x, "x", labelled=last)
        _draw_axis(one, panel.y, place.y, "y", labelled=True, most=4 if index else 8)
        _decorate(one)
        if panel.heat is not None:
            _draw_heat(one, panel, panel.heat)
        for mark in panel.marks:
            _draw_mark(one, mark)
        lines = {id(series): _draw_series(one, series, place) for series in ordered(panel)}
        handles = [(lines[id(s)], s.name) for s in panel.series if s.in_legend]
        _draw_labels(one, panel, place)
        _draw_legend(one, handles, legend if last or legend == "best" else "best")
    first = frame(figure, figure.panels[0])
    title = textwrap.wrap(clipped(figure.title, 2 * _TITLE_LINE - 10), _TITLE_LINE)
    pad = 6 + ROW * first.rows + RAISE * first.raised
    axes[0].set_title(_plain("\n".join(title)), loc="left", fontsize=12, color=_TEXT, pad=pad)
    _make_room(axes)


def _make_room(axes: Sequence[Any]) -> None:
    """Give a figure that holds nothing else, and that nobody laid out, room for the title."""
    whole = axes[0].figure
    is_figure = isinstance(whole, need("matplotlib.figure", "to draw on axes").Figure)
    if not is_figure or not set(whole.axes) <= set(axes):
        return
    usual = need("matplotlib", "to draw on axes").rcParams
    laid_out = any(
        getattr(whole.subplotpars, side) != usual[f"figure.subplot.{side}"]
        for side in ("left", "right", "bottom", "top", "wspace", "hspace")
    )
    if whole.get_layout_engine() is None and not laid_out:
        whole.set_layout_engine("constrained")


def save_matplotlib(figure: FigureData, path: Path, *, dots_per_inch: int = 150) -> None:
    """Write a picture; the ending of ``path`` chooses the format."""
    module = need("matplotlib.figure", "to save pictures")
    panels = len(figure.panels)
    canvas = module.Figure(figsize=(7.6, 5.6 if panels > 1 else 4.4), layout="constrained")
    canvas.patch.set_facecolor("white")
    ratios = [2.0] + [1.0] * (panels - 1)
    options = {"squeeze": False, "sharex": True, "height_ratios": ratios}
    axes = canvas.subplots(panels, 1, **options)[:, 0]
    draw_matplotlib(figure, list(axes), legend="below")
    if figure.caption:
        canvas.supxlabel(
            _plain("\n".join(textwrap.wrap(figure.caption, 104))),
            x=0.02,
            ha="left",
            fontsize=8.5,
            color=_TEXT,
        )
    canvas.savefig(path, dpi=dots_per_inch)


def _axes(figure: FigureData, ax: Any) -> list[Any]:
    axes = list(np.ravel(np.array(ax, dtype=object)))
    if len(axes) != len(figure.panels):
        raise InputError(
            f"ax must hold {len(figure.panels)} axes, one for each panel of {figure.title!r}, not "
            f"{len(axes)}: make them with plt.subplots({len(figure.panels)}, 1, sharex=True)."
        )
    for one in axes:
        if not hasattr(one, "set_xscale"):
            raise InputError(f"ax must be matplotlib axes, not {one!r:.60}.")
    return axes


def _draw_axis(
    ax: Any, axis: Axis, ends: tuple[float, float], which: str, *, labelled: bool, most: int = 8
) -> None:
    ticker = need("matplotlib.ticker", "to draw figures")
    getattr(ax, f"set_{which}scale")("log" if axis.log else "linear")
    getattr(ax, f"set_{which}lim")(*ends)
    line = getattr(ax, f"{which}axis")
    places, texts = axis_ticks(axis, ends, most)
    line.set_major_locator(ticker.FixedLocator(places))
    line.set_major_formatter(ticker.FixedFormatter([_plain(text) for text in texts]))
    line.set_minor_locator(ticker.NullLocator())
    if labelled:
        getattr(ax, f"set_{which}label")(_plain(axis.label), color=_TEXT, fontsize=9.5)
    else:
        ax.tick_params(labelbottom=False)


def _decorate(ax: Any) -> None:
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.grid(visible=True, color="#80848c", alpha=0.22, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, colors=_TEXT, labelsize=9)


def _draw_heat(ax: Any, panel: Panel, heat: Heat) -> None:
    """Draw the cells, and their scale to the right of the axes."""
    colours = need("matplotlib.colors", "to draw figures").LinearSegmentedColormap
    palette = colours.from_list("surefoot", HEAT)
    cells = np.ma.masked_invalid(heat.shades)
    drawn = ax.pcolormesh(*heat_edges(panel, heat), cells, cmap=palette, vmin=0, vmax=1, zorder=0.8)
    places, texts = heat_ticks(heat)
    beside = ax.inset_axes([1.02, 0.0, 0.025, 1.0])
    bar = ax.figure.colorbar(drawn, cax=beside, ticks=places)
    bar.ax.set_yticklabels(texts)
    bar.ax.tick_params(length=0, colors=_TEXT, labelsize=8.5)
    bar.outline.set_visible(False)
    bar.set_label(_plain(heat.label), color=_TEXT, fontsize=8.5)


def _draw_mark(ax: Any, mark: Mark) -> None:
    colour = style(mark.role).colour
    if mark.kind == "band":
        ax.axvspan(mark.at, mark.end, color=colour, alpha=0.11, linewidth=0, zorder=0.5)
    elif mark.kind == "vertical":
        ax.axvline(mark.at, color=colour, linewidth=1.2, linestyle=":", zorder=1.5)
    else:
        ax.axhline(mark.at, color=colour, linewidth=1.2, linestyle=":", zorder=1.5)


def _draw_series(ax: Any, series: Series, place: Frame) -> Any:
    """Draw and return the line, which the legend shows."""
    look = style(series.role)
    shared: dict[str, Any] = {
        "color": look.colour,
        "alpha": _FAINT if series.emphasis == "faint" else 1.0,
        "linewidth": _WIDTH[series.emphasis],
        "linestyle": "-" if series.emphasis == "faint" else _DASH[look.dash],
        "zorder": {"faint": 2.0, "normal": 2.5, "strong": 3.0}[series.emphasis],
        "markersize": 5 * series.size,
    }
    y = series.y
    if series.kind == "lost":
        y = np.full(series.x.shape, place.y[1])
        shared |= {"marker": "^", "linestyle": "none", "clip_on": False, "markersize": 7}
    elif series.kind in _TRIANGLES:
        shared |= {"marker": _TRIANGLES[series.kind], "linestyle": "none", "clip_on": False}
        shared |= {"markersize": 8}
    elif series.kind == "points":
        shared |= {"marker": "o", "linestyle": "none"}
        if series.role == "very_high":
            shared |= {"marker": "x", "markersize": 6 * series.size, "markeredgewidth": 1.8}
    elif series.kind == "hollow":
        shared |= {"marker": "o", "linestyle": "none", "markerfacecolor": "none"}
    elif series.kind == "linked":
        shared |= {"marker": "o"}
    elif series.kind == "step":
        shared |= {"drawstyle": "steps-post"}
    if series.kind in ("points", "linked") and series.emphasis == "faint":
        shared |= {"markeredgewidth": 0}
    (line,) = ax.plot(series.x, y, **shared)
    if series.low is not None and series.high is not None:
        _draw_interval(ax, series, series.low, series.high)
    return line


def _draw_interval(ax: Any, series: Series, low: Any, high: Any) -> None:
    colour = style(series.role).colour
    if series.kind in ("points", "linked"):
        keep = np.isfinite(series.y) & np.isfinite(low) & np.isfinite(high)
        ax.vlines(series.x[keep], low[keep], high[keep], color=colour, linewidth=1.2, zorder=2.4)
    else:
        ax.fill_between(series.x, low, high, color=colour, alpha=0.18, linewidth=0, zorder=1.8)


def _draw_labels(ax: Any, panel: Panel, place: Frame) -> None:
    text = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for label in place.top:
        ax.annotate(
            _plain(label.text),
            (label.x, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + ROW * label.row + RAISE * place.raised),
            ha=_ANCHOR[label.anchor],
            va="bottom",
            color=style(label.role).colour,
            **text,
        )
    for side in place.side:
        ax.annotate(
            _plain(side.text),
            (1.0, side.at),
            xycoords="axes fraction",
            xytext=(4, 0),
            ha="left",
            va="center",
            color=style(side.role).colour,
            **text,
        )
    if is_empty(panel):
        middle = {"transform": ax.transAxes, "ha": "center", "va": "center", "color": _TEXT}
        ax.text(0.5, 0.5, "no finite value was recorded", **middle)


def _draw_legend(ax: Any, handles: Sequence[tuple[Any, str]], where: str) -> None:
    if not handles:
        return
    lines, names = [line for line, _ in handles], [_named(name) for _, name in handles]
    options: dict[str, Any] = {"fontsize": 8.5, "labelcolor": _TEXT, "frameon": where == "best"}
    if where == "below":
        sizes = sorted(map(len, names), reverse=True)
        columns = next((n for n in (3, 2) if n <= len(names) and sum(sizes[:n]) <= _LEGEND), 1)
        options |= {"loc": "upper left", "bbox_to_anchor": (-0.01, -0.13), "ncols": columns}
    else:
        options |= {"loc": "best", "framealpha": 0.85, "edgecolor": "none"}
    ax.legend(lines, names, **options)


def _plain(text: str) -> str:
    """Return the text so that matplotlib does not take dollar signs for mathematics."""
    return text.replace("$", r"\$")


def _named(name: str) -> str:
    """Return a name for the legend, which passes over those that begin with an underscore."""
    return f" {_plain(name)}" if name.startswith("_") else _plain(name)

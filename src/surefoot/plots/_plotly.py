"""Figure data as a Plotly figure. The description is plain JSON and needs no Plotly."""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np

from surefoot._base.lazy import need
from surefoot.plots._figure import Axis, FigureData, Heat, Mark, Panel, Series
from surefoot.plots._layout import (
    CHARACTER,
    Frame,
    axis_ticks,
    clipped,
    frame,
    heat_edges,
    heat_ticks,
    is_empty,
    ordered,
)
from surefoot.plots._palette import GRID, HEAT, TEXT, faded, style
from surefoot.plots._scale import at, short

__all__ = ["CONFIG", "plotly_spec", "to_plotly"]

ROW = 17  # pixels of a row of labels above a panel
RAISE = 7  # pixels that a sign on the top edge needs
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_ANCHOR = {"start": "left", "middle": "center", "end": "right"}
_WIDTH = {"faint": 1.0, "normal": 2.0, "strong": 2.5}
_FAINT = 0.28
_MODES = {"line": "lines", "step": "lines", "linked": "lines+markers"}
_TRIANGLES = ("left", "right", "up", "down")
_CAPTION_LINE = 92
_TITLE_LINE = 76
_AXIS = 54  # pixels of the numbers and the label of the x axis
_TICK_LINE = 15  # of each further line of a label of a value
_LEFT = 62  # pixels of the numbers and the label of the y axis
_BUTTONS = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"]
CONFIG = {"displaylogo": False, "responsive": True, "showSendToCloud": False, "plotlyServerURL": ""}
"""Nothing in a figure offers to send it away."""
_SCALE = 120  # pixels of the scale of a heat map
_LEGEND_ROW = 20
_LEGEND_CHARACTER = 6.3
_PAGE = 660  # pixels that a legend is sure to have


def to_plotly(figure: FigureData) -> Any:
    """Return a ``plotly.graph_objects.Figure``.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    graph_objects = need("plotly.graph_objects", "to draw figures")
    return graph_objects.Figure(plotly_spec(figure))


def plotly_spec(figure: FigureData, *, bare: bool = False) -> dict[str, Any]:
    """Return what Plotly draws, as JSON types.

    Args:
        figure: what to draw.
        bare: leave out title and caption, for a page that shows them itself.
    """
    layout = _layout(figure)
    traces: list[dict[str, Any]] = []
    frames: list[Frame] = []
    for index, panel in enumerate(figure.panels):
        domain = _domain(index, len(figure.panels))
        place = frame(figure, panel, height=(domain[1] - domain[0]) * layout["height"])
        frames.append(place)
        names = ("x", "y") if index == 0 else (f"x{index + 1}", f"y{index + 1}")
        layout |= _axes(figure, index, place, names, domain)
        if panel.heat is not None:
            traces.append(_heat_trace(panel, panel.heat, names, domain))
        for series in ordered(panel):
            rank = panel.series.index(series) + 1
            traces += [
                trace | {"legendrank": rank} for trace in _traces(series, panel.y, place, names)
            ]
        layout["shapes"] += [_shape(mark, names) for mark in panel.marks]
        layout["annotations"] += _labels(panel, place, names)
    _surround(figure, layout, frames, bare=bare)
    return {"data": traces, "layout": layout}


def _layout(figure: FigureData) -> dict[str, Any]:
    return {
        "height": 450 if len(figure.panels) > 1 else 310,  # of the panels; the rest is added later
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": TEXT, "remove": _BUTTONS},
        "shapes": [],
        "annotations": [],
    }


def _surround(
    figure: FigureData, layout: dict[str, Any], frames: list[Frame], *, bare: bool
) -> None:
    """Add legend, title and caption around the panels, and the room that all labels need."""
    labels = [len(label.text) for place in frames for label in place.side]
    named = [s.name for panel in figure.panels for s in panel.series if s.in_legend]
    raised = RAISE * frames[0].raised
    left, below_axis = _room_for_ticks(figure)
    top, bottom = 10 + ROW * frames[0].rows + raised, _AXIS + below_axis
    if not bare:
        title = textwrap.wrap(clipped(figure.title, 2 * _TITLE_LINE - 10), _TITLE_LINE)
        layout["title"] = _title([_safe(line) for line in title])
        top += 12 + 19 * len(title)
    caption = [] if bare else textwrap.wrap(figure.caption, _CAPTION_LINE)
    below = 16 * len(caption) + 10 if caption else 0
    legend = _LEGEND_ROW * _legend_rows(named, _PAGE + _LEFT - left) + (8 if named else 0)
    if below:
        text = _text("<br>".join(map(_safe, caption)), x=0, y=0, xref="paper", yref="paper")
        text |= {"xanchor": "left", "yanchor": "top", "yshift": -(bottom + legend)}
        text |= {"xshift": _LEFT - left}
        layout["annotations"].append(text)
    bottom += legend + below
    layout["height"] += top + bottom
    layout["showlegend"] = bool(named)
    layout["legend"] = {"orientation": "h", "x": 0, "xanchor": "left", "yanchor": "bottom"}
    layout["legend"] |= {"yref": "container", "y": below / layout["height"]}
    has_heat = any(panel.heat is not None for panel in figure.panels)
    beside = _SCALE if has_heat else 14 + CHARACTER * max(labels, default=0)
    layout["margin"] = {"l": left, "r": round(beside)}
    layout["margin"] |= {"t": top, "b": bottom}
    layout["meta"] = {"raise": raised, "legend": legend}


def _title(lines: list[str]) -> dict[str, Any]:
    place = {"x": 0.0, "xref": "container", "xanchor": "left", "y": 1.0, "yanchor": "top"}
    pad = {"t": 12, "l": _LEFT}
    return {"text": "<br>".join(lines), "font": {"size": 15}, "pad": pad} | place


def _room_for_ticks(figure: FigureData) -> tuple[int, int]:
    """Return the pixels left of the panels, and those below that further lines of labels take."""
    left, below = 0.0, 0
    for panel in figure.panels:
        lines = [line for tick in panel.y.ticks for line in tick.text.split("\n")]
        left = max(left, CHARACTER * max(map(len, lines), default=0))
        below = max([below, *(tick.text.count("\n") for tick in panel.x.ticks)])
    return max(_LEFT, round(30 + left)), _TICK_LINE * below


def _legend_rows(names: list[str], width: float) -> int:
    """Return about how many rows the legend takes: Plotly lays it out in equal columns."""
    widths = [44 + _LEGEND_CHARACTER * len(name) for name in names]
    if sum(widths) <= width:
        return min(len(names), 1)
    return math.ceil(len(names) / max(int(width / max(widths)), 1))


def _axes(
    figure: FigureData, index: int, place: Frame, names: tuple[str, str], domain: list[float]
) -> dict[str, Any]:
    panel = figure.panels[index]
    last = index == len(figure.panels) - 1
    x = _axis(panel.x, place.x) | {"anchor": names[1], "showticklabels": last}
    y = _axis(panel.y, place.y, most=4 if index else 8) | {"anchor": names[0], "domain": domain}
    if index:
        x["matches"] = "x"
    if not last:
        del x["title"]
    return {names[0].replace("x", "xaxis"): x, names[1].replace("y", "yaxis"): y}


def _domain(index: int, panels: int) -> list[float]:
    """Return bottom and top of a panel: the first is twice as high as each of the others."""
    gap = 0.05
    unit = (1 - gap * (panels - 1)) / (panels + 1)
    if index == 0:
        return [1 - (2 * unit if panels > 1 else 1.0), 1.0]
    top = 1 - 2 * unit - gap - (index - 1) * (unit + gap)
    return [max(round(top - unit, 6), 0.0), round(top, 6)]


def _axis(axis: Axis, ends: tuple[float, float], most: int = 8) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "title": {"text": _safe(axis.label), "standoff": 8},
        "type": "log" if axis.log else "linear",
        "range": [math.log10(end) for end in ends] if axis.log else list(ends),
        "gridcolor": GRID,
        "zeroline": False,
        "showline": False,
        "ticks": "outside",  # unseen, they keep the numbers off the panel
        "ticklen": 4,
        "tickcolor": "rgba(0,0,0,0)",
        "automargin": True,
    }
    if axis.log or axis.ticks:
        places, texts = axis_ticks(axis, ends, most)
        shown |= {"tickmode": "array", "tickvals": places}
        shown |= {"ticktext": [_safe(text).replace("\n", "<br>") for text in texts]}
    else:
        large = max(abs(end) for end in ends) >= 1e4
        shown |= {"nticks": most + 1, "exponentformat": "SI" if large else "e", "minexponent": 4}
    return shown


def _heat_trace(
    panel: Panel, heat: Heat, names: tuple[str, str], domain: list[float]
) -> dict[str, Any]:
    """Return the cells, and their scale to the right of the panel."""
    x, y = heat_edges(panel, heat)
    places, texts = heat_ticks(heat)
    last = len(HEAT) - 1
    said = [[_percent(value) for value in row] for row in heat.z.tolist()]
    scale = {"tickmode": "array", "tickvals": places, "ticktext": texts, "ticks": ""}
    scale |= {"title": {"text": _safe(heat.label), "side": "right"}, "outlinewidth": 0}
    scale |= {"thickness": 14, "xpad": 8, "len": domain[1] - domain[0], "ypad": 0}
    scale |= {"y": (domain[0] + domain[1]) / 2}
    return {
        "type": "heatmap",
        "name": _safe(heat.label),
        "x": _numbers(x),
        "y": _numbers(y),
        "z": [_numbers(row) for row in heat.shades],
        "zmin": 0,
        "zmax": 1,
        "xaxis": names[0],
        "yaxis": names[1],
        "colorscale": [[index / last, colour] for index, colour in enumerate(HEAT)],
        "colorbar": scale,
        "customdata": said,
        "hoverongaps": False,
        "hovertemplate": "lr %{x:.3~g}: %{customdata}<extra></extra>",
    }


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"+{short(100 * value)} %"


def _traces(
    series: Series, axis: Axis, place: Frame, names: tuple[str, str]
) -> list[dict[str, Any]]:
    look = style(series.role)
    faint = series.emphasis == "faint"
    lost = series.kind == "lost"
    y = np.full(series.x.shape, at(0.999, place.y, log=axis.log)) if lost else series.y
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": _MODES.get(series.kind, "markers"),
        "name": _safe(series.name),
        "x": _numbers(series.x),
        "y": _numbers(y),
        "xaxis": names[0],
        "yaxis": names[1],
        "opacity": _FAINT if faint else 1.0,
        "showlegend": series.in_legend,
        "line": {"color": look.colour, "width": _WIDTH[series.emphasis], "simplify": False},
        "marker": {"color": look.colour, "size": 7 * series.size},
        "hovertemplate": "%{x:.4~g}: %{y:.4~g}<extra>%{fullData.name}</extra>",
    }
    if not faint:
        trace["line"]["dash"] = look.dash
    if series.label:
        trace["meta"] = {"side": True}
    if series.kind == "step":
        trace["line"]["shape"] = "hv"
    if faint and series.kind == "line":
        trace["hoverinfo"] = "skip"
        del trace["hovertemplate"]
    if series.kind == "points" and series.role == "very_high":
        trace["marker"] |= {"symbol": "x-thin", "size": 9 * series.size}
        trace["marker"]["line"] = {"color": look.colour, "width": 2}
    if series.kind == "hollow":
        trace["marker"]["symbol"] = "circle-open"
    if series.kind in _TRIANGLES:
        trace["marker"] |= {"symbol": f"triangle-{series.kind}", "size": 12}
        trace["cliponaxis"] = False
    if lost:
        trace["marker"] |= {"symbol": "triangle-up", "size": 11}
        trace["cliponaxis"] = False
        trace["hovertemplate"] = "%{x:.4~g}<extra>%{fullData.name}</extra>"
    return [*_interval(series, trace), trace]


def _interval(series: Series, trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Add error bars to points; return a band as two more traces beneath a line."""
    if series.low is None or series.high is None:
        return []
    if series.kind in ("points", "linked"):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": _numbers(series.high - series.y),
            "arrayminus": _numbers(series.y - series.low),
            "color": style(series.role).colour,
            "thickness": 1.2,
            "width": 3,
        }
        return []
    edge = {key: trace[key] for key in ("type", "x", "xaxis", "yaxis")}
    edge |= {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    fill = {"fill": "tonexty", "fillcolor": faded(series.role, 0.18)}
    return [edge | {"y": _numbers(series.low)}, edge | {"y": _numbers(series.high)} | fill]


def _shape(mark: Mark, names: tuple[str, str]) -> dict[str, Any]:
    line = {"color": style(mark.role).colour, "width": 1.4, "dash": "dot"}
    if mark.kind == "horizontal":
        across = {"xref": f"{names[0]} domain", "x0": 0, "x1": 1}
        return (
            {"type": "line", "yref": names[1], "y0": mark.at, "y1": mark.at}
            | across
            | {"line": line}
        )
    upright = {"xref": names[0], "yref": f"{names[1]} domain", "y0": 0, "y1": 1, "x0": mark.at}
    if mark.kind == "vertical":
        return {"type": "line", "x1": mark.at, "line": line} | upright
    fill = {"fillcolor": faded(mark.role, 0.11), "line": {"width": 0}, "layer": "below"}
    return {"type": "rect", "x1": mark.end} | fill | upright


def _labels(panel: Panel, place: Frame, names: tuple[str, str]) -> list[dict[str, Any]]:
    labels: list[dict[str, Any]] = []
    for label in place.top:
        x = math.log10(label.x) if panel.x.log else label.x
        text = _text(_safe(label.text), x=x, y=1, xref=names[0], yref=f"{names[1]} domain")
        text["font"]["color"] = style(label.role).colour
        text |= {"xanchor": _ANCHOR[label.anchor], "yanchor": "bottom", "name": "above"}
        labels.append(text | {"yshift": ROW * label.row + RAISE * place.raised})
    for side in place.side:
        where = {"xref": f"{names[0]} domain", "yref": f"{names[1]} domain"}
        text = _text(_safe(side.text), x=1, y=side.at, **where)
        text["font"]["color"] = style(side.role).colour
        text["name"] = "level" if side.is_level else "side"
        labels.append(text | {"xanchor": "left", "yanchor": "middle", "xshift": 4})
    if is_empty(panel):
        where = {"xref": f"{names[0]} domain", "yref": f"{names[1]} domain"}
        labels.append(_text("no finite value was recorded", x=0.5, y=0.5, **where))
    return labels


def _text(text: str, **place: Any) -> dict[str, Any]:
    return {"text": text, "showarrow": False, "font": {"size": 12}, "align": "left"} | place


def _safe(text: str) -> str:
    """Return the text so that Plotly, which knows some HTML, shows it as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Return the numbers with six digits, which is more than can be seen; None for a gap."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]

"""Figures as files."""

import csv
import io
import os
from pathlib import Path

import numpy as np

from surefoot.errors import InputError
from surefoot.plots._figure import FigureData
from surefoot.plots._matplotlib import save_matplotlib
from surefoot.plots._plotly import CONFIG, to_plotly

__all__ = ["save", "series_csv"]

_PICTURES = (".png", ".svg", ".pdf")
ENDINGS = (".html", *_PICTURES, ".json", ".csv")


def save(figure: FigureData, path: str | os.PathLike[str]) -> Path:
    """Write a figure to a file and return its path.

    Args:
        figure: what to draw; nouns become figures by :func:`surefoot.plots.figure`.
        path: ``.html`` (interactive, needs no network), ``.png``, ``.svg``, ``.pdf``, ``.json``
            (the figure data) or ``.csv`` (its series). Missing folders are made.

    Raises:
        InputError: the ending is another one, or the file cannot be written.
        MissingExtraError: Plotly (for ``.html``) or matplotlib (for pictures) is not installed.
    """
    place = Path(path)
    ending = place.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"path must end in one of {', '.join(ENDINGS)}, not {place.name!r}.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if ending in _PICTURES:
            save_matplotlib(figure, place)
        elif ending == ".html":
            drawn = to_plotly(figure)
            page = drawn.to_html(config=CONFIG, include_plotlyjs=True, full_html=True)
            place.write_text(page, encoding="utf-8")
        elif ending == ".json":
            place.write_text(figure.to_json(indent=1), encoding="utf-8")
        else:
            place.write_text(series_csv(figure), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{place} cannot be written: {error.strerror or error}.") from None
    return place


def series_csv(figure: FigureData) -> str:
    """Return the series as CSV text, and the cells of heat maps, which have a value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["panel", "series", "x", "y", "low", "high", "value"])
    for panel in figure.panels:
        heat = panel.heat
        if heat is not None:
            for (row, column), value in np.ndenumerate(heat.z):
                place = [f"{heat.x[column]:.8g}", f"{heat.y[row]:.8g}"]
                writer.writerow([panel.y.label, heat.label, *place, "", "", f"{value:.8g}"])
        for series in panel.series:
            blank = [""] * len(series.x)
            low = blank if series.low is None else series.low
            high = blank if series.high is None else series.high
            for row in zip(series.x, series.y, low, high, strict=True):
                cells = [value if value == "" else f"{value:.8g}" for value in row]
                writer.writerow([panel.y.label, series.name, *cells, ""])
    return text.getvalue()

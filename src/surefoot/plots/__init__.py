"""Figures: from any noun to figure data, and from there to Plotly, matplotlib or text.

>>> from surefoot.plots import figure, text
>>> from surefoot.records import Curve
>>> data = figure(Curve([0, 1, 2, 3], [3, 2, 1.5, 1]), name="loss")
>>> print(text(data, width=40, height=5).splitlines()[-1].strip())
updates
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from surefoot.errors import InputError
from surefoot.plots._figure import Axis as Axis
from surefoot.plots._figure import FigureData as FigureData
from surefoot.plots._figure import Heat as Heat
from surefoot.plots._figure import Mark as Mark
from surefoot.plots._figure import Panel as Panel
from surefoot.plots._figure import Series as Series
from surefoot.plots._figure import Tick as Tick
from surefoot.plots.curves import compare_runs as compare_runs
from surefoot.plots.curves import learning_curves as learning_curves
from surefoot.plots.diagnosis import diagnosis_figure as diagnosis_figure
from surefoot.plots.finding import finding_figure as finding_figure
from surefoot.plots.interaction import interaction_figure as interaction_figure
from surefoot.plots.run_log import curve_figure as curve_figure
from surefoot.plots.run_log import run_figure as run_figure
from surefoot.plots.schedule import schedule_figure as schedule_figure
from surefoot.plots.sensitivity import sensitivity_figure as sensitivity_figure
from surefoot.records import Curve, Diagnosis, Finding, Interaction, RunLog, Sensitivity
from surefoot.schedules import Schedule

__all__ = [
    "Axis",
    "FigureData",
    "Heat",
    "Mark",
    "Panel",
    "Series",
    "Tick",
    "compare_runs",
    "curve_figure",
    "diagnosis_figure",
    "figure",
    "finding_figure",
    "interaction_figure",
    "learning_curves",
    "plot",
    "run_figure",
    "save",
    "schedule_figure",
    "sensitivity_figure",
    "text",
]

_MAKERS: dict[type, Callable[..., FigureData]] = {
    Sensitivity: sensitivity_figure,
    Interaction: interaction_figure,
    Finding: finding_figure,
    Diagnosis: diagnosis_figure,
    RunLog: run_figure,
    Curve: curve_figure,
    Schedule: schedule_figure,
}


def figure(noun: Any, **options: Any) -> FigureData:
    """Return the figure data of a result, a run or a schedule.

    Args:
        noun: a Sensitivity, Interaction, Finding, Diagnosis, RunLog, Curve or Schedule; a
            dictionary of runs or of schedules by label compares them; figure data is returned as
            it is.
        options: those of the function for this noun, such as ``total`` for a schedule.

    Raises:
        InputError: it is none of these, or an option does not exist.

    Example:
        >>> figure(Curve([0, 1], [2.0, 1.0]), name="loss").title
        'loss'
    """
    maker = _maker(noun)
    try:
        return maker(noun, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise InputError(f"{str(error).replace('()', '')}; see help({maker.__name__}).") from None


def plot(noun: Any, *, ax: Any = None, **options: Any) -> Any:
    """Draw a result, a run or a schedule.

    Args:
        noun: what :func:`figure` takes.
        ax: matplotlib axes to draw on (a sequence where the figure has several panels); None
            makes a Plotly figure.
        options: those of :func:`figure`.

    Returns:
        A ``plotly.graph_objects.Figure``, or ``ax``.

    Raises:
        InputError: the noun cannot be drawn, or there are too few axes.
        MissingExtraError: Plotly is not installed.
    """
    data = figure(noun, **options)
    if ax is None:
        from surefoot.plots._plotly import to_plotly

        return to_plotly(data)
    from surefoot.plots._matplotlib import draw_matplotlib

    draw_matplotlib(data, ax)
    return ax


def save(noun: Any, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write the figure of a noun, or figure data, to a file and return its path.

    Args:
        noun: what :func:`figure` takes.
        path: ``.html`` (interactive, needs no network), ``.png``, ``.svg``, ``.pdf``, ``.json``
            (the figure data) or ``.csv`` (its series). Missing folders are made.
        options: those of :func:`figure`.

    Raises:
        InputError: the ending is another one, or the file cannot be written.
        MissingExtraError: Plotly (for ``.html``) or matplotlib (for pictures) is not installed.
    """
    from surefoot.plots._save import save as write

    return write(figure(noun, **options), path)


def text(noun: Any, width: int = 80, height: int = 20, **options: Any) -> str:
    """Return the figure of a noun, or figure data, as text for a terminal.

    Args:
        noun: what :func:`figure` takes.
        width: characters of the longest line, ≥ 40.
        height: rows of the plot area, ≥ 5.
        options: those of :func:`figure`.
    """
    return figure(noun, **options).to_text(width, height)


def _maker(noun: Any) -> Callable[..., FigureData]:
    if isinstance(noun, FigureData):
        return lambda data: data
    for kind, maker in _MAKERS.items():
        if isinstance(noun, kind):
            return maker
    if isinstance(noun, Mapping) and noun:
        items = list(cast("Mapping[Any, Any]", noun).values())
        if all(isinstance(item, Schedule) for item in items):
            return schedule_figure
        if all(isinstance(item, RunLog) for item in items):
            return compare_runs
    allowed = ", ".join(kind.__name__ for kind in _MAKERS)
    raise InputError(
        f"A {type(noun).__name__} cannot be plotted; what can: {allowed}, FigureData, and a "
        "dictionary of runs or of schedules by label."
    )

"""Figure data: what a figure shows, before anything decides how it is drawn."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot._base.codec import Record
from surefoot.errors import InputError

__all__ = ["Axis", "Emphasis", "FigureData", "Heat", "Kind", "Mark", "Panel", "Series", "Tick"]

Kind = Literal["line", "points", "hollow", "linked", "step", "lost", "left", "right", "up", "down"]
Emphasis = Literal["faint", "normal", "strong"]
_UNIT = 0.1  # below it the colours of a heat map grow in proportion, above as the logarithm


@dataclass(frozen=True)
class Tick(Record):
    """A labelled place on an axis: where it is, in the unit of the data, and what it says.

    A text of several lines has line ends in it; a terminal shows them as blanks.
    """

    at: float
    text: str


@dataclass(frozen=True)
class Axis(Record):
    """One axis of a panel.

    Args:
        label: the quantity, with its unit.
        log: whether it is logarithmic.
        range: its ends, in the unit of the data; None fits it to the data.
        ticks: which places are labelled; none of them given chooses round numbers.
    """

    label: str
    log: bool = False
    range: tuple[float, float] | None = None
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True, eq=False, init=False)
class Series(Record):
    """Values of one kind, drawn in one colour.

    Args:
        name: what they are, for the legend and for who points at them.
        x, y: n numbers each; NaN makes a gap.
        kind: ``"line"``, ``"points"``, ``"hollow"`` (points of another kind), ``"linked"`` (points
            joined by a line), ``"step"``, ``"lost"`` (values that have no place on the axis, shown
            at its top edge), or ``"left"``, ``"right"``, ``"up"``, ``"down"``: triangles that point
            there, at the end of an interval that may go on.
        role: what the colour means, a name of the palette.
        low, high: n numbers each, or None: an interval about ``y``.
        emphasis: ``"faint"`` for raw values beneath a smooth line, ``"strong"`` for the one that
            matters most.
        label: short text at the right end of the line; empty puts the name into the legend.
        legend: False keeps it out of the legend.
        size: of the points, relative to 1.

    Raises:
        InputError: the columns differ in length, or only one of ``low`` and ``high`` is given.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    kind: Kind
    role: str
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None
    emphasis: Emphasis
    label: str
    legend: bool
    size: float

    def __init__(
        self,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        kind: Kind = "line",
        role: str = "main",
        *,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        emphasis: Emphasis = "normal",
        label: str = "",
        legend: bool = True,
        size: float = 1.0,
    ) -> None:
        columns = [None if given is None else _column(given) for given in (x, y, low, high)]
        shapes = {column.shape for column in columns if column is not None}
        if len(shapes) > 1 or (low is None) != (high is None):
            raise InputError(f"The columns of the series {name!r} must have one length.")
        fields: dict[str, Any] = dict(zip(("x", "y", "low", "high"), columns, strict=True))
        fields |= {"name": name, "kind": kind, "role": role, "emphasis": emphasis}
        fields |= {"label": label, "legend": legend, "size": size}
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def in_legend(self) -> bool:
        """Whether the legend names it."""
        return self.legend and not self.label and bool(self.name) and self.emphasis != "faint"


def _column(given: ArrayLike) -> NDArray[np.float64]:
    column = np.array(given, dtype=np.float64)
    column.flags.writeable = False
    return column


@dataclass(frozen=True, eq=False, init=False)
class Heat(Record):
    """Values on a grid, as colours beneath the series; the smallest are the lightest.

    Args:
        label: what the values are.
        x: n places of the columns, ascending.
        y: m places of the rows, ascending. A cell reaches half way to its neighbours, on a
            logarithmic axis in the logarithm.
        z: m × n values ≥ 0, as parts of one: 0.1 reads "+10 %"; NaN leaves the cell empty.
        top: the value from which on the colour stays the darkest, > 0.

    Raises:
        InputError: ``z`` has another shape.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    top: float

    def __init__(self, label: str, x: ArrayLike, y: ArrayLike, z: ArrayLike, top: float) -> None:
        columns, rows, values = _column(x), _column(y), _column(z)
        if values.shape != (rows.size, columns.size):
            raise InputError(
                f"z of the heat map {label!r} must have {rows.size} rows of {columns.size} values."
            )
        for field, value in zip(("x", "y", "z"), (columns, rows, values), strict=True):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "top", float(top))

    @property
    def shades(self) -> NDArray[np.float64]:
        """How dark each cell is, 0 … 1."""
        return np.minimum(self.shade(self.z), 1.0)

    def shade(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return how dark a value is: log(1 + value ÷ 10 %) ÷ log(1 + top ÷ 10 %)."""
        return np.log1p(np.asarray(value) / _UNIT) / np.log1p(self.top / _UNIT)

    def value(self, shade: float) -> float:
        """Return the value of a shade: the inverse of :meth:`shade`."""
        return _UNIT * float(np.expm1(shade * np.log1p(self.top / _UNIT)))


@dataclass(frozen=True)
class Mark(Record):
    """A line or a band across a panel, with a label.

    Args:
        kind: ``"vertical"`` (a line at x = ``at``), ``"band"`` (from x = ``at`` to ``to``) or
            ``"horizontal"`` (a line at y = ``at``).
        at: where it is, or begins.
        label: what it means; short.
        role: what the colour means, a name of the palette.
        to: where a band ends.
    """

    kind: Literal["vertical", "band", "horizontal"]
    at: float
    label: str
    role: str = "muted"
    to: float | None = None

    @property
    def end(self) -> float:
        """Where it ends; a line ends where it begins."""
        return self.at if self.to is None else self.to


@dataclass(frozen=True, eq=False)
class Panel(Record):
    """One pair of axes and what is drawn on them; marks at a place that is not finite drop out."""

    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    marks: tuple[Mark, ...] = ()
    heat: Heat | None = None

    def __post_init__(self) -> None:
        kept = (mark for mark in self.marks if math.isfinite(mark.at) and math.isfinite(mark.end))
        object.__setattr__(self, "marks", tuple(kept))


@dataclass(frozen=True, eq=False)
class FigureData(Record):
    """A figure: panels below each other that share their x axis.

    Args:
        title: one line.
        panels: from top to bottom, at least one.
        caption: one sentence that says what is to be seen.

    Raises:
        InputError: there is no panel.

    Example:
        >>> panel = Panel(Axis("updates"), Axis("loss"), (Series("loss", [0, 1], [2.0, 1.5]),))
        >>> data = FigureData("digits", (panel,)).to_dict()
        >>> data["panels"][0]["series"][0]["y"]
        [2.0, 1.5]
    """

    title: str
    panels: tuple[Panel, ...]
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.panels:
            raise InputError("A figure needs at least one panel.")

    def __repr__(self) -> str:
        return f"FigureData({self.title!r}, {len(self.panels)} panels)"

    def to_text(self, width: int = 80, height: int = 20) -> str:
        """Return the figure for a terminal; see :func:`surefoot.plots.text`."""
        from surefoot.plots._terminal import draw_text

        return draw_text(self, width, height)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from surefoot.plots._plotly import to_plotly

        figure: Any = to_plotly(self)
        return figure._repr_html_()

"""Curves through given points."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot._base.checks import one_of
from surefoot._base.units import Duration, duration, in_words
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._knots import Knotted, rising

__all__ = ["Piecewise", "piecewise"]

SHAPES = ("constant", "linear", "cosine")


@dataclass(frozen=True, repr=False)
class Piecewise(Knotted):
    """Go through given points: in stairs, in lines, or along half waves of a cosine.

    With the points (tᵢ, fᵢ), for tᵢ ≤ j < tᵢ₊₁ and p = (j − tᵢ) / (tᵢ₊₁ − tᵢ):

    ============  =============================================
    ``constant``  factor(j) = fᵢ
    ``linear``    factor(j) = fᵢ + (fᵢ₊₁ − fᵢ) · p
    ``cosine``    factor(j) = fᵢ + (fᵢ₊₁ − fᵢ) · (1 − cos πp) / 2
    ============  =============================================

    From the last point on its factor stays. Unlike a warm-up or a decay, the curve goes exactly
    through its points, also the first and the last.

    Args:
        points: pairs of a time, a duration from the start of the phase, and a factor ≥ 0. Times
            rise, the first is 0; they may lie between updates (``"24.5 updates"``).
        shape: ``"constant"``, ``"linear"`` or ``"cosine"``.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> piecewise([(0, 0.2), (4, 1), (6, 0.5)], shape="linear", duration=8).values().tolist()
        [0.2, 0.4, 0.6000000000000001, 0.8, 1.0, 0.75, 0.5, 0.5]
        >>> piecewise([(0, 1), ("50%", 0.1)]).resolve(4).values().tolist()
        [1.0, 1.0, 0.1, 0.1]
        >>> piecewise([(0, 1), (4, 0)], shape="cosine", duration=4)([0, 2, 4, 1000]).tolist()
        [1.0, 0.5, 0.0, 0.0]
    """

    points: Sequence[tuple[Duration, float]]
    shape: str = "constant"
    duration: Duration | None = None

    name = "piecewise"
    words = "go {through} for {duration}"

    def __post_init__(self) -> None:
        self._check(points=_points, shape=_shape, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        j = self._local(t, xp)
        index = xp.searchsorted(self._knots, j, side="right") - 1
        start = xp.take(self._factors, index)
        if self.shape == "constant":
            return start
        part = (j - xp.take(self._knots, index)) / xp.take(self._widths, index)
        if self.shape == "cosine":
            part = (1 - xp.cos(math.pi * part)) / 2
        return start + xp.take(self._rises, index) * part

    @cached_property
    def _factors(self) -> NDArray[np.float64]:
        return np.asarray([factor for _, factor in self.points])

    @cached_property
    def _rises(self) -> NDArray[np.float64]:
        """What is added from each point to the next; nothing after the last."""
        return np.append(np.diff(self._factors), 0.0)

    @cached_property
    def _widths(self) -> NDArray[np.float64]:
        return np.append(np.diff(self._knots), 1.0)

    def _whens(self) -> tuple[Duration, ...]:
        return tuple(when for when, _ in self.points)

    def _changed(self, whens: tuple[Duration, ...]) -> dict[str, Any]:
        factors = (factor for _, factor in self.points)
        return {"points": tuple(zip(whens, factors, strict=True))}

    def _values_in_words(self) -> dict[str, Any]:
        (_, first), *others = self.points
        way = {"constant": "in stairs", "linear": "in lines", "cosine": "along cosines"}[self.shape]
        stops = [f"to {factor:g} at {in_words(when)}" for when, factor in others]
        through = " ".join([f"from {first:g}", *([way] if others else []), ", ".join(stops)])
        return {**super()._values_in_words(), "through": through.strip()}


def _points(name: str, value: Any) -> tuple[tuple[Duration, float], ...]:
    """Return ``value`` as pairs of a time and a factor."""
    allowed = f"{name} must be pairs of a time and a factor such as [(0, 1), ('50%', 0.1)]"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"{allowed}, not {value!r}.")
    points: list[tuple[Duration, float]] = []
    for point in cast("Iterable[Any]", value):
        if not isinstance(point, (tuple, list)) or len(cast("tuple[Any, ...]", point)) != 2:
            raise InputError(f"{allowed}, not {point!r}.")
        when, factor = cast("tuple[Any, Any]", point)
        points.append((duration(name, when), _checks.factor(name, factor)))
    if not points or points[0][0] != 0:
        raise InputError(f"{name} must start with a point at time 0, such as (0, 1).")
    rising(name, tuple(when for when, _ in points))
    return tuple(points)


def _shape(name: str, value: Any) -> str:
    return one_of(name, value, SHAPES)


piecewise = Piecewise

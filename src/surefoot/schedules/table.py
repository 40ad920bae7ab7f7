"""Factors that are given one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot._base.units import Duration, period
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Table", "table"]


@dataclass(frozen=True, repr=False)
class Table(Phase):
    """Use the factors of a list, one after another.

    factor(j) = factors[⌊j / every⌋],  j = 0 … n − 1;  after the last factor it stays

    Args:
        factors: finite numbers ≥ 0, at least one; any iterable, also an array.
        every: duration that each factor lasts, at least one update.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> table([1, 0.5, 0.1], every=2, duration=6).values().tolist()
        [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
        >>> table([1, 0.5, 0.1], every="1 epoch").resolve(40, updates_per_epoch=10)([9, 10, 39])
        array([1. , 0.5, 0.1])
    """

    factors: Sequence[float] | NDArray[Any]
    every: Duration = 1
    duration: Duration | None = None

    name = "table"
    words = "use {count} factors one after another, each for {every}, in all for {duration}"
    scales = ("every",)

    def __post_init__(self) -> None:
        self._check(factors=_factors, every=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        index = xp.searchsorted(self._edges, self._local(t, xp), side="right")
        return xp.take(self._array, index)

    @cached_property
    def _array(self) -> NDArray[np.float64]:
        return np.asarray(self.factors)

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """The updates at which a factor follows another."""
        top, bottom = self._ratios["every"]
        return np.arange(1.0, len(self.factors)) * top / bottom

    def _values_in_words(self) -> dict[str, Any]:
        return {**super()._values_in_words(), "count": len(self.factors)}


def _factors(name: str, value: Any) -> tuple[float, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of numbers, not {value!r:.60}.")
    if (quick := _numbers(value)) is not None:
        return quick
    factors = tuple(_checks.factor(name, factor) for factor in cast("Iterable[Any]", value))
    if not factors:
        raise InputError(f"{name} must hold at least one number.")
    return factors


def _numbers(value: Any) -> tuple[float, ...] | None:
    """Return the factors of a long list of plain numbers, checked all at once; else None."""
    try:
        numbers: NDArray[Any] = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1 or not numbers.size:
        return None
    good = bool(np.all(np.isfinite(numbers) & (numbers >= 0)))
    return tuple(numbers.astype(np.float64).tolist()) if good else None


table = Table

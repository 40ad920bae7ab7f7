"""The base of schedules that are given by a list of times."""

import dataclasses
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from surefoot._base.units import (
    Clock,
    Duration,
    duration,
    from_real,
    in_updates,
    in_words,
    real,
    stretched,
)
from surefoot.errors import InputError
from surefoot.schedules._phase import Phase
from surefoot.schedules._schedule import Schedule

__all__ = ["Knotted", "rising", "times"]


class Knotted(Phase):
    """A phase with a list of times, each a duration from the start of the phase.

    When the schedule is resolved the times become updates without being rounded, for a curve is a
    function of continuous time: a time of ``"24.5 updates"`` lies between two updates.
    """

    @abstractmethod
    def _whens(self) -> tuple[Duration, ...]:
        """Return the times."""

    @abstractmethod
    def _changed(self, whens: tuple[Duration, ...]) -> dict[str, Any]:
        """Return the fields that make these the times."""

    @cached_property
    def _knots(self) -> NDArray[np.float64]:
        """The times in updates."""
        return np.asarray([float(real(when)) for when in self._whens()])

    def _is_timed(self) -> bool:
        return super()._is_timed() and all(in_updates(when) for when in self._whens())

    def _stretched(self, k: float) -> Schedule:
        longer = cast("Self", super()._stretched(k))
        return longer._mapped(lambda when: stretched(when, k))

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        fitted = cast("Self", super()._fit(updates, clock))
        return fitted._mapped(lambda when: from_real(clock.updates(when)))

    def _mapped(self, change: Callable[[Duration], Duration]) -> Self:
        whens = tuple(change(when) for when in self._whens())
        return dataclasses.replace(cast("Any", self), **self._changed(whens))

    def _values_in_words(self) -> dict[str, Any]:
        return {
            **super()._values_in_words(),
            "at": ", ".join(in_words(when) for when in self._whens()),
        }


def times(name: str, value: Any) -> tuple[Duration, ...]:
    """Return ``value`` as a tuple of durations that rise."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of durations such as [100, '50%'], not {value!r}.")
    whens = tuple(duration(name, when) for when in cast("Iterable[Any]", value))
    if not whens:
        raise InputError(f"{name} must hold at least one duration.")
    return rising(name, whens)


def rising(name: str, whens: tuple[Duration, ...]) -> tuple[Duration, ...]:
    """Return ``whens`` if each is later than the one before, as far as can be told yet."""
    known = [when for when in whens if in_updates(when)]
    for earlier, later in itertools.pairwise(known):
        if real(earlier) >= real(later):
            raise InputError(f"{name} must rise, but {later!r} does not come after {earlier!r}.")
    return whens

"""The base of every schedule: a pure function from the update number to a factor."""

import contextlib
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, SupportsFloat, SupportsIndex, cast, overload

import numpy as np
from numpy.typing import NDArray

from surefoot._base.checks import count, positive
from surefoot._base.codec import FORMAT, dump_json
from surefoot._base.units import (
    LONGEST,
    Clock,
    Duration,
    exact,
    in_updates,
    nearest,
    shown,
    stretched,
)
from surefoot.errors import InputError, StateError
from surefoot.schedules import _scalar

__all__ = ["Schedule"]

MOST_VALUES = 1_000_000
"""The most factors that a sum is made of."""


class Schedule(ABC):
    """A frozen, closed-form function of the update number that returns a factor.

    The lr of an update is the group's base lr × the factor. Schedules are values: they compare by
    content, can be hashed, pickled, and written as text (``str``) and JSON and read back equal.

    =====================  ========================================================
    ``a >> b``             b after a; each phase starts at its own update 0
    ``a * b``, ``0.5 * a``  product of factors; binds tighter than ``>>``
    ``a.stretch(k)``       the same shape for a run k times as long
    ``a.repeat(n)``        over and over again, cycles of equal or growing length
    ``a.clip(low, high)``  with bounds for the factor
    ``a.staircase(every)``  changing only at the start of each stair
    ``a.branch(at, tail)``  left for ``tail`` at some update, from the level reached there
    ``a.resolve(total)``   all durations in updates; needed before a call
    ``a(t)``               the factor that update ``t`` uses
    =====================  ========================================================

    Example:
        >>> from surefoot.schedules import cosine, warmup
        >>> plan = (warmup("10%") >> cosine(floor=0.1)).resolve(100)
        >>> plan
        warmup(10) >> cosine(90, floor=0.1)
        >>> plan(0), plan(9), plan(10), plan(100), plan(10**6)
        (0.1, 1.0, 1.0, 0.1, 0.1)
        >>> plan.values()[[0, 9, 10]].tolist()
        [0.1, 1.0, 1.0]
    """

    name: ClassVar[str]
    durations: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[tuple[str, ...]] = ()
    parts: "tuple[Schedule, ...]" = ()

    __array_ufunc__ = None  # so that a NumPy number times a schedule is a schedule

    @abstractmethod
    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at the update numbers ``t``: the one formula, on any array library.

        Args:
            t: array or tracer of update numbers, ≥ 0; past the end the end value stays.
            xp: the array module, such as ``numpy`` or ``jax.numpy``.

        Raises:
            StateError: the schedule is not resolved.
        """

    @abstractmethod
    def _length(self, clock: Clock) -> Fraction | None:
        """Return the exact number of updates that the schedule takes, None if it is open."""

    @abstractmethod
    def _fit(self, updates: int, clock: Clock) -> "Schedule":
        """Return the schedule with all durations in updates, ``updates`` ≥ 1 in all."""

    @abstractmethod
    def _words(self) -> str:
        """Return what the schedule does as a phrase that starts with a verb."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the text form, which :func:`surefoot.schedules.schedule` reads back."""

    def __repr__(self) -> str:
        return str(self)

    @overload
    def __call__(self, t: float) -> float: ...
    @overload
    def __call__(self, t: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]: ...
    def __call__(self, t: Any) -> Any:
        """Return the factor that update ``t`` uses: a float for a number, an array for an array.

        An array or tracer of another library that has the array API, such as JAX, stays one.

        Raises:
            StateError: the schedule is not resolved.
            InputError: an update number is negative or NaN.
        """
        if isinstance(t, np.generic):
            t = cast("Any", t).item()
        if isinstance(t, (int, float)):
            if t >= 0:
                return self.evaluate(t, _scalar)
        elif hasattr(t, "__array_namespace__") and not isinstance(t, np.ndarray):
            return self.evaluate(t, t.__array_namespace__())
        else:
            times = np.asarray(math.nan)
            with contextlib.suppress(TypeError, ValueError):
                times = np.asarray(t, dtype=np.float64)
            if np.all(times >= 0):
                return self.evaluate(times, np)
        raise InputError(f"t must be an update number ≥ 0, not {t!r:.60}.")

    def values(self, n: int | None = None) -> NDArray[np.float64]:
        """Return the factors of all updates, or of ``n`` evenly spaced times from first to last.

        Raises:
            StateError: the schedule is not resolved.
        """
        last = self.total - 1
        if n is None:
            return self(np.arange(last + 1))
        return self(np.linspace(0, last, count("n", n, least=1)))

    @property
    def is_open(self) -> bool:
        """Whether a part has no duration and fills what remains of the run."""
        return any(part.is_open for part in self.parts)

    @property
    def is_resolved(self) -> bool:
        """Whether all durations are in updates, so that it can be called."""
        return self._is_timed() and all(part.is_resolved for part in self.parts)

    def _is_timed(self) -> bool:
        """Whether the schedule's own durations are in updates: phases whole, scales exact."""
        values = ((name, getattr(self, name)) for name in self._lengths())
        return all(
            isinstance(v, int) or (name in self.scales and in_updates(v)) for name, v in values
        )

    @cached_property
    def total(self) -> int:
        """Number of updates of the resolved schedule.

        Raises:
            StateError: the schedule is not resolved.
        """
        if not self.is_resolved:
            raise StateError(f"{self} is not resolved: call .resolve(total) first.")
        total = nearest(self._length(Clock(total=1)) or 0)
        if total > LONGEST:
            raise InputError(f"{self} is longer than any run: {LONGEST} updates at most.")
        return total

    def resolve(
        self,
        total: int,
        updates_per_epoch: float | None = None,
        samples_per_update: float | None = None,
        tokens_per_update: float | None = None,
        beta2: float | None = 0.999,
    ) -> "Schedule":
        """Return the schedule with every duration in updates; the open phase fills what remains.

        The boundaries between phases are rounded to the nearest update, so that the phases add up
        to ``total`` exactly. Phases of length 0 vanish. A schedule shorter than the run stays at
        its end value for the rest of it, unless that is 0.

        Args:
            total: updates of the run, ≥ 1.
            updates_per_epoch: needed by durations in epochs.
            samples_per_update: needed by durations in samples (the batch size × accumulation).
            tokens_per_update: needed by durations in tokens.
            beta2: decay of Adam's second moment, for ``warmup("auto")``; None without one.

        Raises:
            InputError: the phases take more than ``total``, or less and end at 0, or a unit needs
                an argument.

        Example:
            >>> from surefoot.schedules import hold, linear, warmup
            >>> plan = warmup("2 epochs") >> hold() >> linear("20%")
            >>> plan.resolve(100, updates_per_epoch=5)
            warmup(10) >> hold(70) >> linear(20)
            >>> linear(10, floor=0.1).resolve(100)
            linear(10, floor=0.1) >> constant(0.1, duration=90)
        """
        clock = Clock(total, updates_per_epoch, samples_per_update, tokens_per_update, beta2)
        length = self._length(clock)
        if length is None or abs(length - clock.total) < 1:
            return self._fit(clock.total, clock)
        if length > clock.total:
            raise InputError(
                f"{self} takes {shown(length)} updates, the run has only {clock.total}: shorten "
                "it, or leave one phase open (without a duration) to fill what remains."
            )
        return self._padded(nearest(length), clock)

    def _padded(self, length: int, clock: Clock) -> "Schedule":
        """Return the schedule, fitted to ``length``, and its end value for the rest of the run."""
        from surefoot.schedules.hold import constant

        if length == 0:
            raise InputError(f"{self} has no updates at all: give one phase a longer duration.")
        fitted = self._fit(length, clock)
        if (end := fitted(length)) == 0:
            raise InputError(
                f"{self} takes {length} of {clock.total} updates and would leave the rest at rate "
                "0: leave its duration open, give it a floor, or write '>> constant(0)' after it."
            )
        return fitted >> constant(end, clock.total - length)

    def stretch(self, k: float) -> "Schedule":
        """Return the schedule for a run ``k`` times as long.

        Durations in updates, epochs, samples and tokens are multiplied by ``k``. Open phases and
        shares of the run stay, for they grow with the run. The β2 of a warm-up and what a Python
        function does are not changed.

        Args:
            k: factor of all durations, > 0.

        Raises:
            InputError: k is no such number, or nothing is left of a resolved schedule.

        Example:
            >>> from surefoot.schedules import cosine, linear, warmup
            >>> (warmup(500) >> cosine("3 epochs") >> linear("10%")).stretch(2)
            warmup(1000) >> cosine("6 epochs") >> linear("10%")
            >>> (warmup(5) >> linear(5)).stretch(1.5)
            warmup(8) >> linear(7)
        """
        k = positive("k", k)
        longer = self._stretched(k)
        if not self.is_resolved or longer.is_resolved:
            return longer
        total = nearest(self.total * exact(k))
        if total < 1:
            raise InputError(f"k must be larger than {k!r}: nothing would be left of {self}.")
        return longer.resolve(total)

    def _stretched(self, k: float) -> "Schedule":
        """Return the schedule with all durations times ``k``, exactly."""
        values = self._fields()
        changes: dict[str, Any] = {
            name: stretched(values[name], k) for name in self._lengths() if values[name] is not None
        }
        if self.parts:
            changes["parts"] = tuple(part._stretched(k) for part in self.parts)
        return dataclasses.replace(cast("Any", self), **changes)

    def repeat(
        self,
        times: int | None = None,
        growth: float = 1.0,
        decay: float = 1.0,
        *,
        first: Duration | None = None,
        duration: Duration | None = None,
    ) -> "Schedule":
        """Return the schedule over and over again: warm restarts.

        factor(t) = end + (a(u) − end) · decay^c

        Cycle c is first · growth^c updates long, u is the time within it scaled to the length of a,
        and end is where a ends. So a table in a longer cycle is read more slowly.

        Args:
            times: number of cycles; None repeats it until the end of the run. A schedule with an
                open phase fills the run with this many cycles.
            growth: how many times as long as the one before each cycle is; 1, or in
                [1.000001, 1000].
            decay: what the height above the schedule's end value is multiplied by after each cycle;
                in (0, 1].
            first: length of the first cycle; the schedule's own by default.
            duration: length of all cycles together; the last is cut off there.

        Example:
            >>> from surefoot.schedules import cosine
            >>> plan = cosine(10).repeat(growth=2).resolve(100)  # restarts at 10, 30 and 70
            >>> plan([0, 5, 9, 10, 20, 30, 70]).round(3).tolist()
            [1.0, 0.5, 0.024, 1.0, 0.5, 1.0, 1.0]
            >>> cosine().repeat(3, decay=0.5).resolve(30)
            cosine(10).repeat(3, decay=0.5)

        Reference:
            Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
        """
        from surefoot.schedules._transforms import Repeat

        return Repeat((self,), times, growth, decay, first, duration)

    def clip(self, low: float = 0.0, high: float | None = None) -> "Schedule":
        """Return the schedule with bounds for its factors.

        factor(t) = min(max(a(t), low), high)

        Args:
            low: least factor, ≥ 0.
            high: largest factor, ≥ ``low``; None is without bound.

        Example:
            >>> from surefoot.schedules import linear
            >>> linear(4).clip(0.4, 0.9).values().tolist()
            [0.9, 0.75, 0.5, 0.4]
        """
        from surefoot.schedules._transforms import Clip

        return Clip((self,), low, high)

    def staircase(self, every: Duration) -> "Schedule":
        """Return the schedule changing only at the start of each stair, such as once an epoch.

        factor(t) = a(⌊t / every⌋ · every)

        Args:
            every: duration of a stair, at least one update.

        Example:
            >>> from surefoot.schedules import linear
            >>> linear(4).staircase(2).values().tolist()
            [1.0, 1.0, 0.5, 0.5]
        """
        from surefoot.schedules._transforms import Staircase

        return Staircase((self,), every)

    def branch(self, at: Duration, tail: "Schedule") -> "Schedule":
        """Return the schedule left for another at some update, from the level reached there.

        factor(t) = a(t) for t < at, else a(at) · tail(t − at)

        With it a run is cooled down from wherever it is. Resolve the schedule for the run that was
        planned first: then the first ``at`` updates stay as they were, and a checkpoint of them can
        be used. An open phase of an unresolved one fills the new run.

        Args:
            at: when, a duration from the start, at least one update.
            tail: what follows; its factors are relative to the level reached. If it is open it
                fills what remains.

        Example:
            >>> from surefoot.schedules import cosine, linear
            >>> planned = cosine().resolve(100)
            >>> plan = planned.branch(50, linear()).resolve(60)
            >>> plan([49, 50, 55, 60]).round(3).tolist()
            [0.516, 0.5, 0.25, 0.0]
        """
        from surefoot.schedules._transforms import Branch

        return Branch((self, tail), at)

    def area(self) -> float:
        """Return the sum of all factors: how many updates at the peak the schedule is worth.

        Beyond a million updates it is estimated from a million evenly spaced ones.

        Example:
            >>> from surefoot.schedules import hold, linear
            >>> (hold(80) >> linear(20)).area()
            90.5
        """
        if self.total <= MOST_VALUES:
            return float(self.values().sum())
        return float(self.values(MOST_VALUES).mean() * self.total)

    def __rshift__(self, other: object) -> "Schedule":
        from surefoot.schedules._algebra import Sequence

        return Sequence((self, other)) if isinstance(other, Schedule) else NotImplemented

    def __mul__(self, other: object) -> "Schedule":
        from surefoot.schedules._algebra import Product

        if isinstance(other, Schedule):
            return Product((self, other))
        return (
            Product((self,), cast("Any", other))
            if isinstance(other, (SupportsFloat, SupportsIndex))
            else NotImplemented
        )

    def __rmul__(self, other: object) -> "Schedule":
        return self * other if isinstance(other, (SupportsFloat, SupportsIndex)) else NotImplemented

    def describe(self) -> str:
        """Return what the schedule does, in one sentence."""
        words = self._words()
        first = words.index(words.lstrip("(")[0])
        return f"{words[:first]}{words[first].upper()}{words[first + 1 :]}."

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule in JSON types: durations as they were given, and the format."""
        return {"surefoot": "Schedule", "format": FORMAT, **self._node()}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the schedule as JSON text, which :func:`from_json` reads back."""
        return dump_json(self.to_dict(), indent=indent)

    def _node(self) -> dict[str, Any]:
        parts = {"parts": [part._node() for part in self.parts]} if self.parts else {}
        return {"type": self.name, **self._fields(), **parts}

    def _lengths(self) -> tuple[str, ...]:
        """Return the names of the fields that are durations or scales of time, and in use."""
        return (*self.durations, *self.scales)

    def _fields(self) -> dict[str, Any]:
        """Return the fields of the dataclass that every schedule is."""
        return {
            field.name: getattr(self, field.name) for field in dataclasses.fields(cast("Any", self))
        }

    def _check(self, **checks: Callable[[str, Any], Any]) -> None:
        """Replace each field by what its check returns."""
        for field, check in checks.items():
            try:
                object.__setattr__(self, field, check(field, getattr(self, field)))
            except OverflowError:
                raise InputError(f"{field} is too large.") from None

    def __getstate__(self) -> dict[str, Any]:
        return self._fields()  # without what is cached

"""What one schedule is made into: repeated, bounded, held in stairs, branched off."""

import dataclasses
import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot._base.checks import count, number
from surefoot._base.units import (
    Clock,
    Duration,
    exact,
    from_real,
    in_words,
    nearest,
    period,
    real,
)
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import literal
from surefoot.schedules._schedule import Schedule

__all__ = ["Branch", "Clip", "Repeat", "Staircase"]

MOST_CYCLES = 100_000
"""The most cycles that a growing repetition can have."""

MOST_DOUBLINGS = 53
"""How often the length of a cycle can double until it is longer than any run."""

FIRST_CYCLES = 64
"""Cycles whose starts are computed exactly."""


class _Transformed(Schedule):
    """A schedule made from one other, as long as that one."""

    @property
    def part(self) -> Schedule:
        """The schedule that is transformed."""
        return self.parts[0]

    def _length(self, clock: Clock) -> Fraction | None:
        return self.part._length(clock)

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        return self._of(self.part._fit(updates, clock))

    def _of(self, part: Schedule, **changes: Any) -> Schedule:
        return dataclasses.replace(cast("Any", self), parts=(part, *self.parts[1:]), **changes)

    def _check_parts(self, count: int = 1) -> None:
        """Refuse another number of parts, which a document may hold."""
        if len(self.parts) != count:
            raise InputError(
                f"parts of {self.name} must be {count} in number, not {len(self.parts)}."
            )

    def _part_words(self) -> str:
        words = self.part._words()
        return f"({words})" if self.part.name in ("sequence", "product") else words

    def _method(self, name: str, *arguments: str) -> str:
        """Return the text of a call of a method of the part."""
        text = str(self.part)
        text = f"({text})" if self.part.name in ("sequence", "product") else text
        return f"{text}.{name}({', '.join(arguments)})"


@dataclass(frozen=True, repr=False)
class Clip(_Transformed):
    """A schedule whose factors are bounded, what ``a.clip(low, high)`` makes.

    factor(t) = min(max(a(t), low), high)
    """

    parts: tuple[Schedule, ...] = field()
    low: float = 0.0
    high: float | None = None

    name = "clip"

    def __post_init__(self) -> None:
        self._check_parts()
        self._check(low=_checks.factor, high=_optional_factor)
        if self.high is not None and self.high < self.low:
            raise InputError(f"high must be at least low, {self.low:g}, not {self.high:g}.")

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the bounded factors; see :meth:`Schedule.evaluate`."""
        value = xp.maximum(self.part.evaluate(t, xp), self.low)
        return value if self.high is None else xp.minimum(value, self.high)

    def _words(self) -> str:
        above = "" if self.high is None else f" and at most {self.high:g}"
        return f"{self._part_words()}, always at least {self.low:g}{above}"

    def __str__(self) -> str:
        arguments = [literal(self.low)] if self.low else []
        arguments += [] if self.high is None else [f"high={literal(self.high)}"]
        return self._method("clip", *arguments)


@dataclass(frozen=True, repr=False)
class Staircase(_Transformed):
    """A schedule that changes only at the start of each stair, what ``a.staircase(every)`` makes.

    factor(t) = a(⌊t / every⌋ · every)
    """

    parts: tuple[Schedule, ...] = field()
    every: Duration

    name = "staircase"
    scales = ("every",)

    def __post_init__(self) -> None:
        self._check_parts()
        self._check(every=period)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at the start of the stairs; see :meth:`Schedule.evaluate`."""
        # past the end the value of the last stair would go on with the time
        t = xp.minimum(t, self.part.total)
        top, bottom = self._ratio
        return self.part.evaluate(t * bottom // top * top / bottom, xp)

    @cached_property
    def _ratio(self) -> tuple[float, float]:
        """The length of a stair as a fraction of two whole numbers."""
        every = real(self.every)
        return float(every.numerator), float(every.denominator)

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        every = from_real(clock.updates(self.every))
        return self._of(self.part._fit(updates, clock), every=every)

    def _words(self) -> str:
        return f"{self._part_words()}, changing only every {in_words(self.every)}"

    def __str__(self) -> str:
        return self._method("staircase", literal(self.every))


@dataclass(frozen=True, repr=False)
class Branch(_Transformed):
    """A schedule that is left for another at some update, what ``a.branch(at, tail)`` makes.

    factor(t) = a(t) for t < at, else a(at) · tail(t − at)
    """

    parts: tuple[Schedule, ...] = field()
    at: Duration

    name = "branch"
    durations = ("at",)

    def __post_init__(self) -> None:
        self._check_parts(2)
        self._check(at=period)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors before and after the branch; see :meth:`Schedule.evaluate`."""
        after = self._level * self.parts[1].evaluate(xp.maximum(t - self.at, 0), xp)
        return xp.where(t < self.at, self.part.evaluate(xp.minimum(t, self.at), xp), after)

    @cached_property
    def _level(self) -> float:
        """The factor from which the tail goes on."""
        return float(self.part(int(real(self.at))))

    @property
    def is_open(self) -> bool:
        """Whether the tail fills what remains of the run."""
        return self.parts[1].is_open

    def _length(self, clock: Clock) -> Fraction | None:
        tail = self.parts[1]._length(clock)
        return None if tail is None else clock.updates(self.at) + tail

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        at = nearest(clock.updates(self.at))
        if at >= updates:
            raise InputError(
                f"at must be before the end of the run, {updates} updates, not {at}: there would "
                "be no update left for the tail."
            )
        planned = self.part._length(clock)
        part = self.part._fit(updates if planned is None else max(nearest(planned), 1), clock)
        tail = self.parts[1]._fit(updates - at, clock)
        return dataclasses.replace(self, parts=(part, tail), at=at)

    def _words(self) -> str:
        part, tail = (f"({part._words()})" for part in self.parts)
        return f"follow {part} for {in_words(self.at)}, then go on from its level with {tail}"

    def __str__(self) -> str:
        return self._method("branch", literal(self.at), str(self.parts[1]))


@dataclass(frozen=True, repr=False)
class Repeat(_Transformed):
    """A schedule over and over again, what ``a.repeat(times, growth, decay)`` makes.

    factor(t) = end + (a(u) − end) · decay^c

    where c counts the cycles, cycle c is first · growth^c updates long, u is the time within it,
    scaled to the length of a, and ``end`` is where a ends.
    """

    parts: tuple[Schedule, ...] = field()
    times: int | None = None
    growth: float = 1.0
    decay: float = 1.0
    first: Duration | None = None
    duration: Duration | None = None

    name = "repeat"
    durations = ("duration",)
    scales = ("first",)

    def __post_init__(self) -> None:
        self._check_parts()
        self._check(times=_times, growth=_growth, decay=_checks.ratio)
        self._check(first=_checks.open_duration, duration=_checks.open_duration)
        if self.first == 0:
            raise InputError("first must be at least 1 update, not 0.")
        if self.times is not None and (self.times - 1) * math.log2(self.growth) > MOST_DOUBLINGS:
            raise InputError(
                f"times must be smaller than {self.times} where growth is {self.growth:g}: the "
                "last cycle would be longer than any run."
            )
        if self.times is None and self.part.is_open and self.first is None:
            raise InputError(
                f"times must be given to repeat {self.part}, which has no duration of its own."
            )

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors of the cycle that ``t`` lies in; see :meth:`Schedule.evaluate`."""
        t = xp.minimum(t, self.total)
        whole, last = self.part.total, self._cycles - 1
        if self._is_even:
            top, bottom = float(self._first.numerator), float(self._first.denominator)
            cycle = xp.minimum(t * bottom // top, last)
            local = (t * bottom - cycle * top) * (whole / top)
        else:
            cycle = xp.minimum(xp.searchsorted(self._starts, t, side="right") - 1, last)
            local = (t - xp.take(self._starts, cycle)) * xp.take(self._paces, cycle)
        value = self.part.evaluate(xp.minimum(local, whole), xp)
        if self.decay == 1:
            return value
        end = self._end
        return end + (value - end) * self.decay**cycle

    @cached_property
    def _first(self) -> Fraction:
        """The exact length of the first cycle in updates."""
        return Fraction(self.part.total) if self.first is None else real(self.first)

    @cached_property
    def _end(self) -> float:
        return float(self.part(self.part.total))

    @cached_property
    def _cycles(self) -> int:
        """How many cycles are begun."""
        begun = math.ceil(self.total / self._first) if self._is_even else len(self._starts)
        return begun if self.times is None else min(begun, self.times)

    @cached_property
    def _is_even(self) -> bool:
        """Whether cycles are found by a division: all are alike, and start at whole updates."""
        few = self.total <= MOST_CYCLES * self._first
        return self.growth == 1 and (self._first.denominator == 1 or not few)

    @cached_property
    def _starts(self) -> NDArray[np.float64]:
        """The update at which each cycle starts, as far as the end, exact where it is whole."""
        growth, first = exact(self.growth), self._first
        if growth == 1:
            count = math.ceil(self.total / first)
            evenly = np.arange(count, dtype=np.float64)
            return evenly * float(first.numerator) / float(first.denominator)
        cycles = math.log1p(self.total / first * (growth - 1)) / math.log(growth)
        if cycles > MOST_CYCLES:
            raise InputError(
                f"growth must be 1, or larger than {self.growth!r}: with it the run would have "
                f"more than {MOST_CYCLES} cycles."
            )
        # none but the first can start at a whole update: with growth p / q, cycle i starts at a
        # multiple of first / q^(i − 1)
        early = [first * (growth**i - 1) / (growth - 1) for i in range(FIRST_CYCLES)]
        later = self.growth ** np.arange(FIRST_CYCLES, max(math.ceil(cycles), 0) + 2)
        starts = np.append(
            [float(start) for start in early], float(first) * (later - 1) / (self.growth - 1)
        )
        return starts[starts < self.total].astype(np.float64)

    @cached_property
    def _paces(self) -> NDArray[np.float64]:
        """How many updates of the part pass in one update of each cycle."""
        lengths = float(self._first) * np.power(self.growth, np.arange(len(self._starts)))
        return self.part.total / lengths

    @property
    def is_open(self) -> bool:
        """Whether the repetition fills what remains of the run."""
        return self.duration is None and (
            self.times is None or (self.first is None and self.part.is_open)
        )

    @property
    def is_resolved(self) -> bool:
        """Whether all durations are in updates, so that it can be called."""
        return super().is_resolved and (self.duration is not None or self.times is not None)

    def _lengths(self) -> tuple[str, ...]:
        return tuple(name for name in super()._lengths() if getattr(self, name) is not None)

    def _sum(self) -> Fraction:
        """Return how many times as long as its first cycle the repetition is."""
        times = count("times", self.times, least=1)
        if self.growth == 1:
            return Fraction(times)
        if times > FIRST_CYCLES:  # no whole number any more, and exact it would have many digits
            logarithm = math.log1p(self.growth - 1)
            return Fraction(math.expm1(times * logarithm) / (self.growth - 1))
        growth = exact(self.growth)
        return (growth**times - 1) / (growth - 1)

    def _length(self, clock: Clock) -> Fraction | None:
        if self.duration is not None:
            return clock.updates(self.duration)
        if self.times is None:
            return None
        first = self.part._length(clock) if self.first is None else clock.updates(self.first)
        return None if first is None else first * self._sum()

    def _fit(self, updates: int, clock: Clock) -> Schedule:
        own = self.part._length(clock)
        if self.first is not None:
            first = clock.updates(self.first)
        else:
            first = Fraction(updates) / self._sum() if own is None else own
        part = self.part._fit(max(nearest(first if own is None else own), 1), clock)
        length = None if first == part.total else from_real(first)
        whole = self.times is not None and nearest(first * self._sum()) == updates
        return self._of(part, first=length, duration=None if whole else updates)

    def _words(self) -> str:
        often = "again and again" if self.times is None else f"{self.times} times"
        words = f"repeat {often} ({self.part._words()})"
        if self.growth != 1:
            words += f", each time {self.growth:g} times as long"
        if self.decay != 1:
            words += f", each time {self.decay:g} times as high"
        return words if self.duration is None else f"{words}, for {in_words(self.duration)}"

    def __str__(self) -> str:
        arguments = [] if self.times is None else [str(self.times)]
        names = [name for name in ("growth", "decay") if getattr(self, name) != 1]
        arguments += [
            f"{name}={literal(getattr(self, name))}" for name in (*names, *self._lengths())
        ]
        return self._method("repeat", *arguments)


def _times(name: str, value: Any) -> int | None:
    if value is None:
        return None
    result = count(name, value, least=1)
    if result > MOST_CYCLES:
        raise InputError(f"{name} must be at most {MOST_CYCLES}, not {result}.")
    return result


def _growth(name: str, value: Any) -> float:
    result = number(name, value)
    if not (result == 1 or 1 + 1e-6 <= result <= 1000):
        raise InputError(f"{name} must be 1, or lie in [1.000001, 1000], not {value!r}.")
    return result


def _optional_factor(name: str, value: Any) -> float | None:
    return None if value is None else _checks.factor(name, value)

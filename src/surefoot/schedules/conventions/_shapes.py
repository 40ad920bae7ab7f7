"""The curves that other libraries share, written in the language of schedules.

Numbers named ``start`` and ``end`` are absolute where the library's are: a schedule then has the
library's values, and the base lr is 1.
"""

import math
from collections.abc import Iterable

from surefoot._base.units import Duration
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._objects import negative
from surefoot.schedules.cosine import cosine
from surefoot.schedules.hold import constant, hold
from surefoot.schedules.multi_step import multi_step
from surefoot.schedules.piecewise import piecewise
from surefoot.schedules.polynomial import linear, polynomial
from surefoot.schedules.step import step
from surefoot.schedules.table import table

__all__ = [
    "after",
    "drops",
    "half_cosine",
    "polynomial_between",
    "ramp",
    "scaled",
    "stairs",
    "through",
    "wave",
    "when",
]


def when(time: float) -> Duration:
    """Return a time in updates as a duration, which may lie between two updates."""
    return int(time) if time == int(time) else f"{time!r} updates"


def through(
    points: Iterable[tuple[float, float]], shape: str, duration: int | None = None
) -> Schedule:
    """Return the curve through the points; of several at one time the last counts."""
    last = dict(points)
    if len(set(last.values())) == 1:
        level = next(iter(last.values()))
        return hold(duration) if level == 1 else constant(level, duration)
    return piecewise([(when(t), factor) for t, factor in sorted(last.items())], shape, duration)


def ramp(start: float, end: float, n: int) -> Schedule:
    """Return the line from ``start`` at update 0 to ``end`` at update ``n``, of ``n`` updates."""
    return through([(0, start), (n, end)], "linear", n)


def after(warmup: int, first: Schedule, then: Schedule) -> Schedule:
    """Return ``then`` after a ``first`` part, which is nothing where it has no updates."""
    return first >> then if warmup > 0 else then


def scaled(factor: float, schedule: Schedule) -> Schedule:
    """Return the product, without a factor of 1."""
    return schedule if factor == 1 else factor * schedule


def half_cosine(start: float, end: float, n: int, power: float = 1.0, k: float = 1.0) -> Schedule:
    """Return half a wave of a cosine from ``start`` to ``end`` over ``n`` updates, and stay."""
    if start > 0 and 0 <= end <= start:
        return scaled(start, cosine(n, end / start, power, k))
    if power == k == 1:
        return through([(0, start), (n, end)], "cosine", n)

    def value(j: int) -> float:
        return end + (start - end) * ((1 + math.cos(math.pi * (j / n) ** k)) / 2) ** power

    return table([*map(value, range(n)), end], duration=n)


def polynomial_between(
    start: float, end: float, n: int, power: float = 1.0, k: float = 1.0
) -> Schedule:
    """Return the power of a line from ``start`` to ``end`` over ``n`` updates, and stay."""
    if power == k == 1:
        if start > 0 and 0 <= end <= start:
            return scaled(start, linear(n, end / start))
        return ramp(start, end, n)
    if start > 0 and 0 <= end <= start and power > 0:
        return scaled(start, polynomial(n, power, end / start, k))

    def value(j: int) -> float:
        return end + (start - end) * (1 - (j / n) ** k) ** power

    return table([*map(value, range(n)), end], duration=n)


def wave(start: float, end: float, half: float, n: int) -> Schedule:
    """Return a cosine that starts at ``start`` and is at ``end`` after ``half`` a period.

    It has ``n`` updates.
    """
    turns = range(math.ceil(n / half) + 1)
    return through([(i * half, end if i % 2 else start) for i in turns], "cosine", n)


def drops(every: int, factor: float) -> Schedule | None:
    """Return the staircase of powers of a factor in [0, 1]; None where it would rise."""
    _check_rate(factor)
    if factor == 1:
        return hold()
    if factor == 0:
        return through([(0, 1), (every, 0)], "constant")
    return step(every, factor) if 0 < factor < 1 else None


def stairs(times: Iterable[int], factor: float) -> Schedule:
    """Return powers of a factor: one more from each of the times on."""
    _check_rate(factor)
    at = sorted(times)
    if not at or factor == 1:
        return hold()
    if 0 < factor < 1 and len(set(at)) == len(at):
        return multi_step(at, factor)
    return through([(0, 1.0), *((t, factor ** (i + 1)) for i, t in enumerate(at))], "constant")


def _check_rate(factor: float) -> None:
    if factor < 0:
        raise negative(f"the lr is multiplied by {factor:g} again and again, so it gets negative")

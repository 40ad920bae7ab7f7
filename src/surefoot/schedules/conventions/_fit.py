"""The first updates of a schedule: what it is on [0, total), whatever its own length."""

import dataclasses
from typing import Any, cast

from surefoot._base.checks import count
from surefoot._base.units import real
from surefoot.schedules._algebra import Product, Sequence
from surefoot.schedules._schedule import Schedule
from surefoot.schedules._transforms import Branch, Clip, Repeat, Staircase
from surefoot.schedules.adam_warmup import ExponentialWarmup, RAdamWarmup
from surefoot.schedules.conventions._objects import tabled
from surefoot.schedules.cosine import Cosine
from surefoot.schedules.cyclic import Cyclic
from surefoot.schedules.exponential import Exponential
from surefoot.schedules.function import Function
from surefoot.schedules.hold import Constant, Hold, constant
from surefoot.schedules.inverse_time import InverseTime
from surefoot.schedules.multi_step import MultiStep
from surefoot.schedules.natural_exponential import NaturalExponential
from surefoot.schedules.piecewise import Piecewise, piecewise
from surefoot.schedules.polynomial import Linear
from surefoot.schedules.power import InverseSqrt, Power
from surefoot.schedules.step import Step
from surefoot.schedules.table import Table

__all__ = ["fitted"]

_WINDOWS = (
    Hold, Constant, Step, MultiStep, Piecewise, NaturalExponential, InverseTime, InverseSqrt, Power,
    Cyclic, Table, Function, ExponentialWarmup, RAdamWarmup, Repeat,
)  # fmt: skip
"""Schedules whose duration is a window on a curve without end; that of others is their shape."""


def fitted(schedule: Schedule, total: int | None) -> Schedule:
    """Return the schedule with exactly ``total`` updates and unchanged factors; None: as it is.

    A longer one is cut off and never squeezed: what has no closed form then becomes a table. A
    shorter one stays at its end value.

    Example:
        >>> from surefoot.schedules import cosine, hold, step
        >>> fitted(hold(2) >> cosine(10), 7)
        hold(2) >> piecewise([(0, 1), (10, 0)], shape="cosine", duration=5)
        >>> fitted(hold(2) >> step(3), 7)
        hold(2) >> step(3, duration=5)
        >>> fitted(cosine(5, floor=0.1), 7)
        cosine(5, floor=0.1) >> constant(0.1, duration=2)
    """
    return (
        schedule
        if total is None
        else _longer(_first(schedule, count("total", total, least=1)), total)
    )


def _first(schedule: Schedule, n: int) -> Schedule:
    """Return a schedule of at most ``n`` updates that begins like this one."""
    if isinstance(schedule, Sequence):
        return _first_parts(schedule, n)
    if isinstance(schedule, (Product, Clip, Staircase)):
        parts = tuple(_first(part, n) for part in schedule.parts)
        return dataclasses.replace(schedule, parts=parts)
    if isinstance(schedule, Branch) and isinstance(schedule.at, int):
        return _first_of_branch(schedule, schedule.at, n)
    if schedule.is_open:
        return schedule.resolve(n)
    return schedule if schedule.total <= n else _cut(schedule, n)


def _cut(schedule: Schedule, n: int) -> Schedule:
    """Return the first ``n`` updates of a longer schedule, as a table where it must be."""
    if isinstance(schedule, _WINDOWS) or (
        isinstance(schedule, Exponential) and schedule.gamma is not None
    ):
        return dataclasses.replace(cast("Any", schedule), duration=n)
    if isinstance(schedule, Linear):
        return piecewise([(0, 1), (schedule.total, schedule.floor)], "linear", n)
    if isinstance(schedule, Cosine) and schedule.power == schedule.k == 1:
        return piecewise([(0, 1), (schedule.total, schedule.floor)], "cosine", n)
    return tabled(f"the first updates of {schedule}", schedule, n + 1, duration=n)


def _first_parts(schedule: Sequence, n: int) -> Schedule:
    if schedule.is_open and not schedule.parts[-1].is_open:
        return schedule.resolve(n)  # the part before the last that fills the rest
    parts: list[Schedule] = []
    for part in schedule.parts:
        if n > 0 and (part.is_open or part.total > 0):
            parts.append(_first(part, n))
            n -= parts[-1].total
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def _first_of_branch(schedule: Branch, at: int, n: int) -> Schedule:
    part, tail = schedule.parts
    if at >= n:
        return _longer(_first(part, n), n)
    if part.is_open:
        return schedule.resolve(n)
    return dataclasses.replace(schedule, parts=(part, _first(tail, n - at)))


def _longer(schedule: Schedule, total: int) -> Schedule:
    """Return the schedule with its end value up to ``total``."""
    missing = total - schedule.total
    if missing == 0:
        return schedule
    if isinstance(schedule, Sequence):
        *parts, last = schedule.parts
        return Sequence((*parts, _longer(last, last.total + missing)))
    if _is_flat_at_its_end(schedule):
        return dataclasses.replace(cast("Any", schedule), duration=total)
    return schedule >> constant(float(schedule(schedule.total)), missing)


def _is_flat_at_its_end(schedule: Schedule) -> bool:
    """Return whether the schedule stays at its end value if it is given a longer duration."""
    if isinstance(schedule, Piecewise):
        return schedule.total >= real(schedule.points[-1][0])
    if isinstance(schedule, Table):
        return schedule.total >= (len(schedule.factors) - 1) * real(schedule.every)
    return isinstance(schedule, (Constant, Hold))

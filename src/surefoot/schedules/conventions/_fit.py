"""The first updates of a schedule: what it is on [0, total), whatever its own length."""

import dataclasses
from typing import Any, cast

import numpy as np

from surefoot._base.checks import count
from surefoot.schedules._algebra import Product, Sequence
from surefoot.schedules._schedule import Schedule
from surefoot.schedules._transforms import Clip, Staircase
from surefoot.schedules.cosine import Cosine
from surefoot.schedules.exponential import Exponential
from surefoot.schedules.hold import Constant, Hold, constant
from surefoot.schedules.piecewise import Piecewise, piecewise
from surefoot.schedules.polynomial import Linear, Polynomial
from surefoot.schedules.table import Table, table
from surefoot.schedules.tanh import Tanh

__all__ = ["fitted"]

_SHAPED = (Cosine, Linear, Polynomial, Tanh)
"""Phases whose duration is their shape; that of others is a window on a curve without end."""

_FLAT = (Constant, Hold, Piecewise, Table)
"""Phases that go on at their end value if they are made longer."""


def fitted(schedule: Schedule, total: int | None) -> Schedule:
    """Return the schedule with exactly ``total`` updates and unchanged factors; None: as it is.

    A longer one is cut off, a shorter one stays at its end value.

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
    if schedule.is_open:
        return schedule.resolve(n)
    if schedule.total <= n:
        return schedule
    if isinstance(schedule, (Cosine, Linear)) and _is_plain(schedule):
        shape = "cosine" if isinstance(schedule, Cosine) else "linear"
        return piecewise([(0, 1), (schedule.total, schedule.floor)], shape, n)
    if isinstance(schedule, _SHAPED) or (
        isinstance(schedule, Exponential) and schedule.floor is not None
    ):
        return table(schedule(np.arange(n)), duration=n)
    return dataclasses.replace(cast("Any", schedule), duration=n)


def _is_plain(schedule: Cosine | Linear) -> bool:
    return isinstance(schedule, Linear) or schedule.power == schedule.k == 1


def _first_parts(schedule: Sequence, n: int) -> Schedule:
    parts: list[Schedule] = []
    for part in schedule.parts:
        if n > 0:
            parts.append(_first(part, n))
            n -= parts[-1].total
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def _longer(schedule: Schedule, total: int) -> Schedule:
    """Return the schedule with its end value up to ``total``."""
    missing = total - schedule.total
    if missing == 0:
        return schedule
    if isinstance(schedule, Sequence):
        *parts, last = schedule.parts
        return Sequence((*parts, _longer(last, last.total + missing)))
    if isinstance(schedule, _FLAT):
        return dataclasses.replace(cast("Any", schedule), duration=total)
    return schedule >> constant(float(schedule(schedule.total)), missing)

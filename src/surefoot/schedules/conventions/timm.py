"""Schedules as timm writes them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from surefoot._base.checks import count
from surefoot.errors import InputError
from surefoot.schedules._algebra import Sequence
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import factor_of, fields, reals, stock, tabled, whole
from surefoot.schedules.conventions._shapes import (
    after,
    drops,
    half_cosine,
    polynomial_between,
    ramp,
    scaled,
    stairs,
)
from surefoot.schedules.cosine import cosine
from surefoot.schedules.hold import constant, hold
from surefoot.schedules.one_minus_sqrt import one_minus_sqrt
from surefoot.schedules.polynomial import linear, polynomial
from surefoot.schedules.power import power
from surefoot.schedules.table import Table, table
from surefoot.schedules.tanh import tanh

__all__ = ["from_timm"]


def from_timm(scheduler: Any, total: int | None = None) -> "Schedule | dict[str, list[Schedule]]":
    """Return the schedule of each group that a scheduler of timm follows.

    factor(t) = the lr after ``scheduler.step(t)``, its ``lr_scale`` in it, over ``initial_lr``

    The unit of t is that of the scheduler, epochs or updates: with ``t_in_epochs`` call
    ``Scheduler.step`` once an epoch. timm's minima and first rates are absolute, so that groups of
    different lr have different schedules. It does not matter how far the scheduler has gone.

    Args:
        scheduler: a ``CosineLRScheduler``, ``PolyLRScheduler``, ``TanhLRScheduler``,
            ``StepLRScheduler``, ``MultiStepLRScheduler`` or ``WSDLRScheduler``, or any other whose
            ``_get_lr`` is a function of t, with ``total``.
        total: length of the run in the scheduler's unit, ≥ 1; the schedules then have exactly that.
            Needed for what becomes a table of all factors: noise, and schedulers of your own.

    Returns:
        One schedule if it serves all groups, else ``{"lr": [one per group]}``.

    Raises:
        InputError: it is no such scheduler, a group's lr is 0, or total is needed.

    Example:
        >>> class StepLRScheduler:  # that of timm has the same attributes
        ...     def __init__(self):
        ...         self.decay_t, self.decay_rate, self.warmup_prefix = 30, 0.1, True
        ...         self.warmup_t, self.warmup_lr_init = 5, 0.0625
        ...         self.base_values, self.noise_range_t, self.param_group_field = [0.5], None, "lr"
        ...         self.optimizer = type("Optimizer", (), {"param_groups": [{"lr": 0.5}]})
        >>> from_timm(StepLRScheduler())
        piecewise([(0, 0.125), (5, 1)], shape="linear", duration=5) >> step(30)

    Reference:
        Wightman, PyTorch Image Models, 2019: timm 1.0.31.
    """
    kind = stock(scheduler, (*_CURVES, "PlateauLRScheduler"), ("_get_lr", "_get_values", "step"))
    if kind == "PlateauLRScheduler":
        raise InputError(
            "scheduler must follow t, and a PlateauLRScheduler follows a metric: give the "
            "Scheduler a control instead, such as control=plateau(factor=0.1, raise_after=None)."
        )
    if kind is None and (total is None or not hasattr(scheduler, "_get_lr")):
        raise InputError(
            f"scheduler must be one of timm's {', '.join(_CURVES)}, or another of its Schedulers "
            f"together with total, not {type(scheduler).__name__}."
        )
    total = None if total is None else count("total", total, least=1)
    groups = scheduler.optimizer.param_groups
    curves: list[Schedule] = []
    for g, base in enumerate(reals(scheduler.base_values)):
        group = _Group(scheduler, g, base, total)
        body = _CURVES[kind](group) if kind and scheduler.noise_range_t is None else None
        closed = None if body is None else _warmed(group, body)
        curve = _told(group) if closed is None else fitted(closed, total)
        curves.append(scaled(float(groups[g].get("lr_scale", 1.0)), curve))
    return fields({str(scheduler.param_group_field): curves})


@dataclass(frozen=True)
class _Group:
    """One group of a scheduler; all values are shares of its base lr."""

    scheduler: Any
    index: int
    base: float
    total: int | None

    def share(self, name: str) -> float:
        """Return an attribute of the scheduler that is an lr."""
        return factor_of(name, float(getattr(self.scheduler, name)), self.base)

    def at(self, t: int) -> float:
        """Return what the scheduler itself says, without its ``lr_scale``."""
        try:
            values = self.scheduler._get_lr(t)
            if self.scheduler.noise_range_t is not None:
                values = self.scheduler._add_noise(values, t)
            value = float(values[self.index])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"scheduler has no lr at t = {t}: timm itself fails, {error}."
            ) from None
        return factor_of("the lr", value, self.base)


def _told(group: _Group) -> Schedule:
    """Return the table of what the scheduler itself says."""
    return tabled(f"this {type(group.scheduler).__name__}", group.at, group.total)


def _warmed(group: _Group, body: Schedule) -> Schedule | None:
    """Return the curve with timm's warm-up, None where that has no closed form."""
    s = group.scheduler
    n = count("warmup_t", s.warmup_t)
    if n == 0:
        return body
    if getattr(s, "warmup_prefix", True):
        return ramp(group.share("warmup_lr_init"), 1.0, n) >> body
    first, rise = float(s.warmup_lr_init), float(s.warmup_steps[group.index])
    return _over(body, [factor_of("the lr", first + t * rise, group.base) for t in range(n)])


def _over(body: Schedule, warmup: list[float]) -> Schedule | None:
    """Return the body with its first factors replaced: such a warm-up hides its beginning."""
    n = len(warmup)
    if not body.is_open and body.total <= n:
        return None
    hidden = fitted(body, n).values().tolist()
    if min(hidden) <= 0:
        return None
    ratios = [factor / below for factor, below in zip(warmup, hidden, strict=True)]
    return body * table([*ratios, 1.0], duration=n + 1)


_Shape: TypeAlias = Callable[[float, float, int], Schedule | None]
"""A cycle of n updates from ``start`` to ``end``, None where there is none."""


def _cycles(group: _Group, shape: _Shape, *, ends_at_floor: bool = True) -> Schedule | None:
    """Return the restarts of a cycle, None where they have no closed form."""
    s, floor = group.scheduler, group.share("lr_min")
    length, times = s.t_initial, int(s.cycle_limit)
    growth, decay = float(s.cycle_mul), float(s.cycle_decay)
    if times == 0:
        return constant(floor)
    if not whole(length):
        return None
    lengths = [Fraction(int(length)) * Fraction(repr(growth)) ** i for i in range(times)]
    cycles = shape(1.0, floor, int(length))
    alike = growth >= 1 and (decay == 1 or (0 < decay < 1 and floor == 0 and ends_at_floor))
    if times > 1 and cycles and alike and not isinstance(cycles, Table):
        duration = None if whole(sum(lengths)) else math.ceil(sum(lengths))
        cycles = cycles.repeat(times, growth, decay, duration=duration)
    elif times > 1:
        parts = [shape(decay**i, floor, int(n)) for i, n in enumerate(lengths) if whole(n)]
        known = tuple(part for part in parts if part)
        cycles = Sequence(known) if len(known) == times else None
    if cycles is None or ends_at_floor or group.total is None:
        return cycles
    return cycles >> constant(floor)


def _cosine(group: _Group) -> Schedule | None:
    k = float(group.scheduler.k_decay)
    return _cycles(group, lambda start, end, n: half_cosine(start, end, n, 1.0, k))


def _poly(group: _Group) -> Schedule | None:
    s = group.scheduler
    p, k = float(s.power), float(s.k_decay)
    return _cycles(group, lambda start, end, n: polynomial_between(start, end, n, p, k))


def _tanh(group: _Group) -> Schedule | None:
    low, high = float(group.scheduler.lb), float(group.scheduler.ub)

    def shape(start: float, end: float, n: int) -> Schedule | None:
        if not (0 <= end <= start and -20 <= low < high <= 20):
            return None
        return scaled(start, tanh(n, end / start, low, high))

    return _cycles(group, shape, ends_at_floor=False)


def _step(group: _Group) -> Schedule | None:
    s = group.scheduler
    return drops(int(s.decay_t), float(s.decay_rate)) if whole(s.decay_t) else None


def _multi_step(group: _Group) -> Schedule | None:
    s = group.scheduler  # its milestone m is passed at m − 1
    return stairs([max(math.ceil(m) - 1, 0) for m in s.decay_t], float(s.decay_rate))


def _wsd(group: _Group) -> Schedule | None:
    s, floor = group.scheduler, group.share("lr_min")
    if not whole(s.t_initial, s.decay_t, s.warmup_t):
        return None
    length, decay = int(s.t_initial), int(s.decay_t)
    stable = length - decay
    if floor >= 1:
        return constant(floor, length)
    falls = _falls(group, floor, decay)
    if s.stable_fn == "constant":
        first, last = hold(max(stable, 1)), falls
    else:
        exponent = 0.5 if s.stable_fn == "rsqrt" else float(s.stable_power)
        if not (whole(s.stable_timescale) and exponent <= 10):
            return None
        scale = int(s.stable_timescale)
        if floor == 0 and falls:
            return power(-exponent, scale, length) * after(stable, hold(max(stable, 1)), falls)
        first, last = power(-exponent, scale, max(stable, 1)).clip(floor), None
    if last is None:
        start = int(s.warmup_t) + stable
        last = table([*(group.at(start + j) for j in range(decay)), floor], duration=decay)
    return after(stable, first, last)


def _falls(group: _Group, floor: float, n: int) -> Schedule | None:
    """Return the decay of a constant to the floor, None where it has no closed form."""
    kind = group.scheduler.decay_fn
    if kind == "linear":
        return linear(n, floor)
    if kind == "1-sqrt":
        return one_minus_sqrt(n, floor)
    if kind == "cosine":
        return cosine(n, floor)
    if kind == "power":
        return polynomial(n, 1.0, floor, float(group.scheduler.decay_power))
    return None


_CURVES: dict[str, Callable[[_Group], Schedule | None]] = {
    "CosineLRScheduler": _cosine,
    "PolyLRScheduler": _poly,
    "TanhLRScheduler": _tanh,
    "StepLRScheduler": _step,
    "MultiStepLRScheduler": _multi_step,
    "WSDLRScheduler": _wsd,
}

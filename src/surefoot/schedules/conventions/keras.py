"""Schedules as Keras writes them."""

import math
from collections.abc import Callable
from typing import Any

from surefoot._base.checks import count
from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import stock, tabled
from surefoot.schedules.conventions._shapes import (
    after,
    drops,
    half_cosine,
    polynomial_between,
    ramp,
    scaled,
    through,
)
from surefoot.schedules.exponential import exponential
from surefoot.schedules.hold import constant
from surefoot.schedules.inverse_time import inverse_time

__all__ = ["from_keras"]


def from_keras(schedule: Any, total: int | None = None) -> Schedule:
    """Return the schedule that a Keras ``LearningRateSchedule`` is, read from its ``get_config``.

    factor(t) = the value of Keras at step t, so the base lr is 1

    It is computed in float64, Keras computes in float32. What Keras goes on with for ever is open
    and fills the run; what ends has its own length, and stays at its end value.

    Args:
        schedule: an ``ExponentialDecay``, ``PiecewiseConstantDecay``, ``PolynomialDecay``,
            ``InverseTimeDecay``, ``CosineDecay`` or ``CosineDecayRestarts``, or any other with
            ``total``.
        total: updates of the run, ≥ 1; the schedule then has exactly these. Needed for what becomes
            a table: a ``PolynomialDecay`` with ``cycle``, an ``ExponentialDecay`` that rises, a
            ``CosineDecayRestarts`` whose cycles shrink or rise, and schedules of your own.

    Raises:
        InputError: it is no such schedule, or total is needed.

    Example:
        >>> class CosineDecay:  # that of Keras has the same method
        ...     def get_config(self):
        ...         return {"initial_learning_rate": 0.0, "decay_steps": 90, "alpha": 0.1,
        ...                 "warmup_target": 0.2, "warmup_steps": 10}
        >>> from_keras(CosineDecay())
        piecewise([(0, 0), (10, 0.2)], shape="linear", duration=10) >> 0.2 * cosine(90, floor=0.1)

    Reference:
        Chollet et al., Keras, 2015: version 3.15.
    """
    kind = stock(schedule, _CLASSES, ("__call__",))
    total = None if total is None else count("total", total, least=1)
    if kind is not None:
        return fitted(_CLASSES[kind](schedule.get_config(), total), total)
    if total is None or not any(
        k.__name__ == "LearningRateSchedule" for k in type(schedule).__mro__
    ):
        raise InputError(
            f"schedule must be one of Keras' {', '.join(_CLASSES)}, or another of its "
            f"LearningRateSchedules together with total, not {type(schedule).__name__}."
        )
    return tabled(type(schedule).__name__, lambda t: float(schedule(t)), total)


def _exponential(config: dict[str, Any], total: int | None) -> Schedule:
    start, steps, rate = _numbers(config, "initial_learning_rate", "decay_steps", "decay_rate")
    staircase = config["staircase"]
    if steps == int(steps) and 0 < rate <= 1:
        stairs = drops(int(steps), rate) if staircase else None
        return scaled(start, stairs or exponential(gamma=rate, every=int(steps)))

    def value(t: int) -> float:
        return start * rate ** (t // steps if staircase else t / steps)

    return tabled("this ExponentialDecay of Keras", value, total)


def _piecewise(config: dict[str, Any], total: int | None) -> Schedule:
    del total
    first, *levels = map(float, config["values"])
    starts = [int(boundary) + 1 for boundary in config["boundaries"]]  # the boundary is inside
    return through([(0, first), *zip(starts, levels, strict=True)], "constant")


def _polynomial(config: dict[str, Any], total: int | None) -> Schedule:
    start, steps, end, power = _numbers(
        config, "initial_learning_rate", "decay_steps", "end_learning_rate", "power"
    )
    if power == 0:  # Keras has 0**0 = 1 at the end
        return constant(start)
    if not config["cycle"] and steps == int(steps):
        return polynomial_between(start, end, int(steps), power)

    def value(t: int) -> float:
        length = steps * max(math.ceil(t / steps), 1) if config["cycle"] else steps
        return (start - end) * (1 - min(t / length, 1)) ** power + end

    return tabled("this PolynomialDecay of Keras", value, total)


def _inverse_time(config: dict[str, Any], total: int | None) -> Schedule:
    start, steps, rate = _numbers(config, "initial_learning_rate", "decay_steps", "decay_rate")
    if steps == int(steps) and rate >= 0:
        decay = inverse_time(rate, every=int(steps))
        return scaled(start, decay.staircase(int(steps)) if config["staircase"] else decay)

    def value(t: int) -> float:
        return start / (1 + rate * (t // steps if config["staircase"] else t / steps))

    return tabled("this InverseTimeDecay of Keras", value, total)


def _cosine(config: dict[str, Any], total: int | None) -> Schedule:
    del total
    start, steps, alpha = _numbers(config, "initial_learning_rate", "decay_steps", "alpha")
    steps = _whole("decay_steps", steps)
    if config["warmup_target"] is None:
        return scaled(start, half_cosine(1.0, alpha, steps))
    warmup = _whole("warmup_steps", config["warmup_steps"])
    peak = float(config["warmup_target"])
    decay = scaled(peak, half_cosine(1.0, alpha, steps))
    return after(warmup, ramp(start, peak, max(warmup, 1)), decay)


def _restarts(config: dict[str, Any], total: int | None) -> Schedule:
    start, steps, alpha = _numbers(config, "initial_learning_rate", "first_decay_steps", "alpha")
    growth, decay = _numbers(config, "t_mul", "m_mul")
    steps = _whole("first_decay_steps", steps)
    if growth >= 1 and 0 < decay <= 1:
        cycle = half_cosine(1.0, alpha, steps)
        return scaled(start, cycle.repeat(growth=growth, decay=decay))

    def value(t: int) -> float:
        cycle, length, time = 0, float(steps), float(t)
        while time >= length:
            cycle, time, length = cycle + 1, time - length, length * growth
        height = decay**cycle * (1 + math.cos(math.pi * time / length)) / 2
        return start * ((1 - alpha) * height + alpha)

    if growth < 1 and total is not None and total > steps / (1 - growth):
        raise InputError(
            f"total must be at most {int(steps / (1 - growth))} for this CosineDecayRestarts: its "
            "cycles shrink, and Keras has no value after all of them."
        )
    return tabled("this CosineDecayRestarts of Keras", value, total)


def _numbers(config: dict[str, Any], *names: str) -> list[float]:
    return [float(config[name]) for name in names]


def _whole(name: str, value: float) -> int:
    if value != int(value):
        raise InputError(f"{name} must be a whole number of updates here, not {value!r}.")
    return int(value)


_CLASSES: dict[str, Callable[[dict[str, Any], int | None], Schedule]] = {
    "ExponentialDecay": _exponential,
    "PiecewiseConstantDecay": _piecewise,
    "PolynomialDecay": _polynomial,
    "InverseTimeDecay": _inverse_time,
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _restarts,
}

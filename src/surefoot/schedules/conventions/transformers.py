"""Schedules as Transformers names them in ``get_scheduler``."""

import math
from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from surefoot._base.checks import count, learning_rate, number
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._algebra import Sequence
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._arguments import bound, whole_number
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._shapes import (
    after,
    half_cosine,
    polynomial_between,
    ramp,
    through,
    wave,
)
from surefoot.schedules.cosine import cosine
from surefoot.schedules.hold import constant, hold
from surefoot.schedules.one_minus_sqrt import one_minus_sqrt
from surefoot.schedules.polynomial import linear
from surefoot.schedules.power import inverse_sqrt
from surefoot.schedules.table import table

__all__ = ["from_transformers", "of_lambda"]

_CONTROLLED = {
    "reduce_lr_on_plateau": "plateau(factor=0.1, patience=11, threshold=1e-4, raise_after=None)",
    "greedy": "plateau(factor=0.95, patience=11, threshold=1e-6, relative=False)",
}


def from_transformers(
    name: Any,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    *,
    lr: float | None = None,
    **arguments: Any,
) -> Schedule:
    """Return the schedule that ``transformers.get_scheduler`` makes from the same arguments.

    factor(t) = what Transformers multiplies the base lr by at step t

    With ``num_training_steps`` the schedule has exactly so many updates; otherwise it is open and
    fills the run. The first update has the lr 0 where Transformers warms up from 0.

    Args:
        name: ``linear``, ``cosine``, ``cosine_with_restarts``, ``polynomial``, ``constant``,
            ``constant_with_warmup``, ``inverse_sqrt``, ``cosine_with_min_lr``,
            ``cosine_warmup_with_min_lr`` or ``warmup_stable_decay``.
        num_warmup_steps: updates, ≥ 0; not needed for ``constant``.
        num_training_steps: updates of the run, ≥ 1; needed by those that end.
        lr: the lr that the optimizer was made with; needed where an end is absolute, that is for
            ``polynomial`` (``lr_end``, 1e-7 by default) and for ``min_lr``.
        arguments: the ``scheduler_specific_kwargs``, such as ``num_cycles`` or ``min_lr_rate``.

    Raises:
        InputError: the name or an argument is none of Transformers', or one is missing.

    Example:
        >>> from_transformers("linear", 10, 100)
        piecewise([(0, 0), (10, 1)], shape="linear", duration=10) >> linear(90)
        >>> from_transformers("inverse_sqrt", 10)
        piecewise([(0, 0), (10, 1)], shape="linear", duration=10) >> inverse_sqrt(10)

    Reference:
        Wolf et al., Transformers: State-of-the-Art Natural Language Processing, 2020: version 5.23.
    """
    word = str(getattr(name, "value", name))
    if word in _CONTROLLED:
        raise InputError(
            f"name must be a schedule, and {word!r} follows a metric: give the Scheduler a control "
            f"instead, such as control={_CONTROLLED[word]}, and any schedule beside it."
        )
    make = _NAMES.get(word)
    if make is None:
        raise InputError(f"name must be one of {', '.join(_NAMES)}, not {word!r:.60}.")
    if num_training_steps is not None:
        num_training_steps = count("num_training_steps", num_training_steps, least=1)
    given = {
        "num_warmup_steps": num_warmup_steps,
        "num_training_steps": num_training_steps,
        "lr": lr,
    }
    known = signature(make).parameters
    used = {key: value for key, value in given.items() if value is not None and key in known}
    what = f"Transformers' schedule {word!r}"
    schedule = make(**bound(what, make, {**used, **arguments}, _CHECKS))
    return fitted(schedule, num_training_steps)


def _cycles(name: str, value: Any) -> Any:
    number(name, value)
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "num_cycles": _cycles,
    **dict.fromkeys(
        ("lr_end", "power", "min_lr", "min_lr_rate", "min_lr_ratio", "warmup_lr_rate"),
        _checks.factor,
    ),
}


def _warmed(num_warmup_steps: int, then: Schedule, start: float = 0.0) -> Schedule:
    """Return ``then`` after a line that reaches the peak one update after its last."""
    warmup = count("num_warmup_steps", num_warmup_steps)
    return after(warmup, ramp(start, 1.0, max(warmup, 1)), then)


def _left(num_warmup_steps: int, num_training_steps: int) -> int:
    """Return the updates after the warm-up, 1 at least."""
    total = count("num_training_steps", num_training_steps, least=1)
    return max(total - count("num_warmup_steps", num_warmup_steps), 1)


def _constant() -> Schedule:
    return hold()


def _constant_with_warmup(num_warmup_steps: int) -> Schedule:
    return _warmed(num_warmup_steps, hold())


def _linear(num_warmup_steps: int, num_training_steps: int) -> Schedule:
    return _warmed(num_warmup_steps, linear(_left(num_warmup_steps, num_training_steps)))


def _cosine(num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5) -> Schedule:
    return _waves(num_warmup_steps, num_training_steps, num_cycles, 0.0)


def _waves(warmup: int, total: int, num_cycles: float, low: float) -> Schedule:
    n = _left(warmup, total)
    return _warmed(warmup, _wave(low, n, num_cycles, n))


def _wave(low: float, n: int, num_cycles: float, updates: int) -> Schedule:
    """Return so many cycles of a cosine in ``n`` updates; half a cycle is one way down."""
    if num_cycles == 0:
        return hold(updates)
    if num_cycles == 0.5:
        return half_cosine(1.0, low, n)
    return wave(1.0, low, n / abs(2 * num_cycles), updates)


def _cosine_with_restarts(
    num_warmup_steps: int, num_training_steps: int, num_cycles: int = 1
) -> Schedule:
    n = _left(num_warmup_steps, num_training_steps)
    cycles = count("num_cycles", num_cycles, least=1)
    restarts = cosine().repeat(cycles).resolve(n) if cycles > 1 else cosine(n)
    return _warmed(num_warmup_steps, restarts)


def _polynomial(
    num_warmup_steps: int,
    num_training_steps: int,
    lr_end: float = 1e-7,
    power: float = 1.0,
    lr: float | None = None,
) -> Schedule:
    low = lr_end / _base("lr_end", lr)
    n = _left(num_warmup_steps, num_training_steps)
    return _warmed(num_warmup_steps, polynomial_between(1.0, low, n, power))


def _inverse_sqrt(num_warmup_steps: int, timescale: int | None = None) -> Schedule:
    scale = count("timescale", timescale or num_warmup_steps or 10_000, least=1)
    return _warmed(num_warmup_steps, inverse_sqrt(scale))


def _cosine_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    lr: float | None = None,
) -> Schedule:
    low = _low(min_lr, min_lr_rate, lr)
    return _waves(num_warmup_steps, num_training_steps, num_cycles, low)


def _cosine_warmup_with_min_lr(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
    lr: float | None = None,
) -> Schedule:
    low = _low(min_lr, min_lr_rate, lr)
    warmup, n = num_warmup_steps, _left(num_warmup_steps, num_training_steps)
    start = 1 / max(warmup, 1) if warmup_lr_rate is None else float(warmup_lr_rate)
    if warmup >= 2:  # the last update of the warm-up is the first of the wave
        rise = through([(0, start), (warmup - 1, 1)], "linear", warmup - 1)
        return rise >> _wave(low, n, num_cycles, n + 1)

    def value(t: int) -> float:
        if t < warmup:
            return start
        shape = 0.5 * (1 + math.cos(math.pi * num_cycles * 2.0 * (t - warmup + 1) / n))
        return shape * (1 - low) + low

    return table([value(t) for t in range(num_training_steps)], duration=num_training_steps)


def _warmup_stable_decay(
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Schedule:
    warmup = count("num_warmup_steps", num_warmup_steps)
    decay = count("num_decay_steps", num_decay_steps)
    _known("warmup_type", warmup_type)
    _known("decay_type", decay_type)
    if num_stable_steps is None:
        if num_training_steps is None:
            raise InputError("num_training_steps or num_stable_steps is needed: give one of them.")
        stable = num_training_steps - warmup - decay  # below 0 the decay begins in the warm-up
    else:
        stable = whole_number("num_stable_steps", num_stable_steps)
    low = float(min_lr_ratio)
    parts: list[Schedule] = []
    if warmup:
        parts.append(_rises(warmup_type, low, warmup))
    if stable > 0:
        parts.append(hold(stable))
    if decay + min(stable, 0) > 0:
        falls = _falls(decay_type, low, decay, num_cycles)
        parts.append(falls if stable >= 0 else _late(falls, -stable))
    if not parts or abs(parts[-1](parts[-1].total) - low) > 1e-12:
        parts.append(constant(low))  # there Transformers stays, wherever it was before
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def _known(name: str, kind: str) -> None:
    if kind not in ("linear", "cosine", "1-sqrt"):
        raise InputError(f"{name} must be linear, cosine or 1-sqrt, not {kind!r:.60}.")


def _late(schedule: Schedule, start: int) -> Schedule:
    """Return a schedule without its first updates, as a table."""
    n = schedule.total - start
    return table(schedule(np.arange(start, schedule.total + 1)), duration=n)


def _rises(kind: str, low: float, n: int) -> Schedule:
    if kind in ("linear", "cosine"):
        return through([(0, low), (n, 1)], kind, n)
    factors = [(1 - math.sqrt(1 - j / n)) * (1 - low) + low for j in range(n)]
    return table([*factors, 1.0], duration=n)


def _falls(kind: str, low: float, n: int, num_cycles: float) -> Schedule:
    if kind == "cosine":
        return _wave(low, n, num_cycles, n)
    if kind == "linear":
        return polynomial_between(1.0, low, n)
    if low <= 1:
        return one_minus_sqrt(n, low)
    return table([1 + (low - 1) * math.sqrt(j / n) for j in range(n + 1)], duration=n)


def _base(name: str, lr: float | None) -> float:
    if lr is None:
        raise InputError(f"lr is needed, the optimizer's, for {name} is an absolute rate: lr=…")
    return learning_rate("lr", lr)


def _low(min_lr: float | None, min_lr_rate: float | None, lr: float | None) -> float:
    if (min_lr is None) == (min_lr_rate is None):
        raise InputError("min_lr or min_lr_rate is needed: give one of the two.")
    return (
        float(min_lr_rate) if min_lr_rate is not None else float(min_lr or 0) / _base("min_lr", lr)
    )


_NAMES: dict[str, Callable[..., Schedule]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "warmup_stable_decay": _warmup_stable_decay,
}

_LAMBDAS: dict[str, Callable[..., Schedule]] = {
    "_get_constant_lambda": _constant,
    "_get_constant_schedule_with_warmup_lr_lambda": _constant_with_warmup,
    "_get_linear_schedule_with_warmup_lr_lambda": _linear,
    "_get_cosine_schedule_with_warmup_lr_lambda": _cosine_with_min_lr,
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda": _cosine_with_restarts,
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda": _polynomial,
    "_get_inverse_sqrt_schedule_lr_lambda": _inverse_sqrt,
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda": _cosine_warmup_with_min_lr,
    "_get_wsd_scheduler_lambda": _warmup_stable_decay,
}
"""The functions that Transformers gives to a LambdaLR."""


def of_lambda(target: Any) -> Schedule | None:
    """Return the schedule that a lambda of Transformers is, None for any other function."""
    made_from = getattr(target, "func", target)
    if getattr(made_from, "__module__", None) != "transformers.optimization":
        return None
    make = _LAMBDAS.get(made_from.__name__)
    arguments = dict(getattr(target, "keywords", {}))
    if make is None or getattr(target, "args", ()):
        return None
    if "lr_init" in arguments:
        arguments.update(lr=arguments.pop("lr_init"))
    if make is _cosine_with_min_lr:
        arguments.setdefault("min_lr_rate", 0.0)
    try:
        return make(**arguments)
    except (InputError, TypeError):
        return None

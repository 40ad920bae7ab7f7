"""Schedules as optax writes them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from surefoot._base.checks import count
from surefoot.errors import InputError
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import tabled, whole
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

__all__ = ["from_optax"]


def from_optax(name: Any, *, total: int | None = None, **arguments: Any) -> Schedule:
    """Return the schedule that an optax function makes from the same arguments.

    factor(t) = the value of optax at the count t, so the base lr is 1

    It is computed in float64, optax computes in float32. What optax keeps for ever is open and
    fills the run; what ends has the length that the arguments say, and stays at its end value.

    Args:
        name: the function or its name: ``constant_schedule``, ``linear_schedule``,
            ``polynomial_schedule``, ``exponential_decay``, ``cosine_decay_schedule``,
            ``cosine_onecycle_schedule``, ``linear_onecycle_schedule``,
            ``piecewise_constant_schedule``, ``piecewise_interpolate_schedule``, ``sgdr_schedule``,
            ``warmup_constant_schedule``, ``warmup_cosine_decay_schedule``,
            ``warmup_exponential_decay_schedule`` or ``join_schedules``.
        total: updates of the run, ≥ 1; the schedule then has exactly these. Needed only for an
            ``exponential_decay`` that rises, which becomes a table.
        arguments: those of the function, by name. In ``join_schedules`` the ``schedules`` are
            schedules, or pairs of a name and a dict of arguments.

    Raises:
        InputError: the name or an argument is none of optax's, or total is needed.

    Example:
        >>> from_optax("warmup_cosine_decay_schedule", init_value=0.0, peak_value=0.5,
        ...            warmup_steps=10, decay_steps=100, end_value=0.05)
        piecewise([(0, 0), (10, 0.5)], shape="linear", duration=10) >> 0.5 * cosine(90, floor=0.1)
        >>> from_optax("exponential_decay", init_value=0.1, transition_steps=100, decay_rate=0.5)
        0.1 * exponential(gamma=0.5, every=100)

    Reference:
        The DeepMind JAX Ecosystem, 2020: optax 0.2.8.
    """
    word = name if isinstance(name, str) else getattr(name, "__name__", repr(name))
    make = _FUNCTIONS.get(word)
    if make is None:
        raise InputError(
            f"name must be a schedule function of optax, one of {', '.join(_FUNCTIONS)}, "
            f"not {word!r:.60}."
        )
    total = None if total is None else count("total", total, least=1)
    try:
        given = _whole_steps(arguments)
        schedule = make(total, **given) if make in _MAY_RISE else make(**given)
    except TypeError as error:
        words = str(error).replace(f"{make.__name__}()", f"optax's {word}")
        raise InputError(f"arguments are not those of optax: {words}.") from None
    return fitted(schedule, total)


_STEPS = ("transition_steps", "transition_begin", "decay_steps", "warmup_steps")


def _whole_steps(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with all numbers of steps as ints; a float is no share of the run here.

    Raises:
        InputError: a number of steps is not whole.
    """
    steps = {name: _int(name, arguments[name]) for name in _STEPS if name in arguments}
    return {**arguments, **steps}


def _int(name: str, value: Any) -> int:
    if not whole(value):
        raise InputError(f"{name} must be a whole number of updates here, not {value!r}.")
    return int(value)


def _constant(value: float) -> Schedule:
    return constant(float(value))


def _polynomial(
    init_value: float,
    end_value: float,
    power: float,
    transition_steps: int,
    transition_begin: int = 0,
) -> Schedule:
    if transition_steps <= 0:
        return constant(float(init_value))
    begin = max(transition_begin, 0)
    start, end = float(init_value), float(end_value)
    if power == 1 and (begin > 0 or end > start):
        points = [(0, start), (begin, start), (begin + transition_steps, end)]
        return through(points, "linear", begin + transition_steps)
    moving = polynomial_between(start, end, transition_steps, float(power))
    return after(begin, constant(start, begin), moving)


def _linear(
    init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    return _polynomial(init_value, end_value, 1, transition_steps, transition_begin)


def _cumulative(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None
) -> list[tuple[float, float]]:
    points = [(0.0, float(init_value))]
    for boundary, scale in sorted((boundaries_and_scales or {}).items()):
        if boundary < 0 or scale < 0:
            raise InputError(
                "boundaries_and_scales must have boundaries and scales ≥ 0, not "
                f"{boundary!r}: {scale!r}."
            )
        points.append((_int("boundaries_and_scales", boundary), points[-1][1] * scale))
    return points


def _piecewise_constant(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    return through(_cumulative(init_value, boundaries_and_scales), "constant")


def _piecewise_interpolate(
    interpolate_type: str,
    init_value: float,
    boundaries_and_scales: Mapping[int, float] | None = None,
) -> Schedule:
    if interpolate_type not in ("linear", "cosine"):
        raise InputError(
            f"interpolate_type must be 'linear' or 'cosine', not {interpolate_type!r:.60}."
        )
    points = _cumulative(init_value, boundaries_and_scales)
    return through(points, interpolate_type, int(points[-1][0]) or None)


def _linear_onecycle(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    scales = {
        int(pct_start * transition_steps): div_factor,
        int(pct_final * transition_steps): 1.0 / div_factor,
        transition_steps: 1.0 / final_div_factor,
    }
    return _piecewise_interpolate("linear", peak_value / div_factor, scales)


def _cosine_onecycle(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    scales = {
        int(pct_start * transition_steps): div_factor,
        int(transition_steps): 1.0 / (div_factor * final_div_factor),
    }
    return _piecewise_interpolate("cosine", peak_value / div_factor, scales)


def _exponential(
    total: int | None,
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    start = float(init_value)
    if transition_steps <= 0 or decay_rate == 0:
        return constant(start)
    begin = max(transition_begin, 0)
    if decay_rate > 1:
        return _rising(total, start, transition_steps, decay_rate, begin, staircase, end_value)
    stairs = drops(transition_steps, decay_rate) if staircase else None
    decay = stairs or exponential(gamma=decay_rate, every=transition_steps)
    schedule = after(begin, constant(start, begin), scaled(start, decay))
    if end_value is None:
        return schedule
    end = float(end_value)
    return schedule.clip(end) if decay_rate < 1 else schedule.clip(high=end)


def _rising(
    total: int | None,
    start: float,
    steps: int,
    rate: float,
    begin: int,
    staircase: bool,
    end_value: float | None,
) -> Schedule:
    def value(t: int) -> float:
        p = max(t - begin, 0) / steps
        result = start * rate ** (p // 1 if staircase else p)
        return result if end_value is None else min(result, float(end_value))

    return tabled("optax's exponential_decay with a decay_rate above 1", value, total)


def _cosine(
    init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> Schedule:
    return scaled(float(init_value), half_cosine(1.0, float(alpha), decay_steps, float(exponent)))


def _warmup_constant(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    if warmup_steps <= 0:
        return constant(float(init_value))
    return through([(0, float(init_value)), (warmup_steps, float(peak_value))], "linear")


def _warmup_cosine(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    alpha = 0.0 if peak_value == 0.0 else end_value / peak_value
    warmup = ramp(float(init_value), float(peak_value), max(warmup_steps, 1))
    decay = _cosine(peak_value, decay_steps - max(warmup_steps, 0), alpha, exponent)
    return after(warmup_steps, warmup, decay)


def _warmup_exponential(
    total: int | None,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    warmup = ramp(float(init_value), float(peak_value), max(warmup_steps, 1))
    left = None if total is None else max(total - max(warmup_steps, 0), 1)
    decay = _exponential(
        left, peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return after(warmup_steps, warmup, decay)


def _sgdr(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    cycles = [_whole_steps(cycle) for cycle in cosine_kwargs]
    schedules = [_warmup_cosine(**cycle) for cycle in cycles]
    boundaries: list[int] = []
    for cycle in cycles[:-1]:
        boundaries.append((boundaries[-1] if boundaries else 0) + cycle["decay_steps"])
    return _join(schedules, boundaries)


def _join(schedules: Iterable[Any], boundaries: Iterable[int]) -> Schedule:
    parts = [_part(part) for part in schedules]
    edges = [0, *(_int("boundaries", boundary) for boundary in boundaries)]
    if len(edges) != len(parts) or edges != sorted(edges):
        raise InputError(
            "boundaries must be rising updates, one less than schedules, not "
            f"{edges[1:]} for {len(parts)} schedules."
        )
    kept = [
        fitted(part, end - start)
        for part, start, end in zip(parts, edges, edges[1:], strict=False)
        if end > start
    ]
    result = parts[-1]
    for part in reversed(kept):
        result = part >> result
    return result


def _part(part: Any) -> Schedule:
    if isinstance(part, Schedule):
        return part
    name, arguments = cast("tuple[Any, dict[str, Any]]", part)
    return from_optax(name, **arguments)


_MAY_RISE = (_exponential, _warmup_exponential)
"""The functions whose curve may have no closed form here, and then need the total."""

_FUNCTIONS: dict[str, Callable[..., Schedule]] = {
    "constant_schedule": _constant,
    "linear_schedule": _linear,
    "polynomial_schedule": _polynomial,
    "exponential_decay": _exponential,
    "cosine_decay_schedule": _cosine,
    "cosine_onecycle_schedule": _cosine_onecycle,
    "linear_onecycle_schedule": _linear_onecycle,
    "piecewise_constant_schedule": _piecewise_constant,
    "piecewise_interpolate_schedule": _piecewise_interpolate,
    "sgdr_schedule": _sgdr,
    "warmup_constant_schedule": _warmup_constant,
    "warmup_cosine_decay_schedule": _warmup_cosine,
    "warmup_exponential_decay_schedule": _warmup_exponential,
    "join_schedules": _join,
}

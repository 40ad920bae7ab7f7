"""Schedules as optax writes them."""

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from itertools import pairwise
from typing import Any, cast

from surefoot._base.checks import count, number, positive
from surefoot._base.units import Duration, in_updates
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._algebra import Sequence
from surefoot.schedules._schedule import Schedule
from surefoot.schedules.conventions._arguments import bound, whole_number
from surefoot.schedules.conventions._fit import fitted
from surefoot.schedules.conventions._objects import tabled
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
from surefoot.schedules.multi_step import MultiStep
from surefoot.schedules.piecewise import Piecewise

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
            schedules, or pairs of a name and a dict of arguments; an open schedule fills its part.

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
    if "total" in signature(make).parameters:  # it may have no closed form
        arguments = {"total": total, **arguments}
    return fitted(make(**bound(f"optax's {word}", make, arguments, _CHECKS)), total)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(
        ("transition_steps", "transition_begin", "decay_steps", "warmup_steps"), whole_number
    ),
    **dict.fromkeys(
        ("value", "init_value", "end_value", "peak_value", "alpha", "decay_rate"), _checks.factor
    ),
    **dict.fromkeys(("power", "exponent", "pct_start", "pct_final"), _checks.factor),
    **dict.fromkeys(("div_factor", "final_div_factor"), positive),
}


def _constant(value: float) -> Schedule:
    return constant(float(value))


def _polynomial(
    init_value: float,
    end_value: float,
    power: float,
    transition_steps: int,
    transition_begin: int = 0,
) -> Schedule:
    if transition_steps <= 0 or power == 0:  # optax has 0**0 = 1 at the end
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
    given: Any = {} if boundaries_and_scales is None else boundaries_and_scales
    if not isinstance(given, Mapping):
        raise InputError(
            "boundaries_and_scales must be a dict such as {100: 0.1}, not "
            f"{boundaries_and_scales!r:.60}."
        )
    scales = {
        whole_number("boundaries_and_scales", boundary): number("boundaries_and_scales", scale)
        for boundary, scale in cast("Mapping[Any, Any]", given).items()
    }
    points = [(0.0, float(init_value))]
    for boundary, scale in sorted(scales.items()):
        if boundary < 0 or scale < 0:
            raise InputError(
                "boundaries_and_scales must have boundaries and scales ≥ 0, not "
                f"{boundary!r}: {scale!r}."
            )
        points.append((boundary, points[-1][1] * scale))
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
    _at_least_one("transition_steps", transition_steps)
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
    _at_least_one("transition_steps", transition_steps)
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
    _at_least_one("decay_steps", decay_steps)
    if exponent == 0:  # optax has 0**0 = 1 at the end
        return constant(float(init_value))
    return scaled(float(init_value), half_cosine(1.0, float(alpha), decay_steps, float(exponent)))


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name} must be at least 1, as in optax, not {value}.")


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
    left = decay_steps - max(warmup_steps, 0)
    if left < 1:
        raise InputError(
            f"decay_steps must be greater than warmup_steps, {warmup_steps}, which are the first "
            f"of them, not {decay_steps}."
        )
    alpha = 0.0 if peak_value == 0.0 else end_value / peak_value
    warmup = ramp(float(init_value), float(peak_value), max(warmup_steps, 1))
    decay = _cosine(peak_value, left, alpha, exponent)
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
    schedules: list[Schedule] = []
    boundaries = [0]
    for i, cycle in enumerate(_listed("cosine_kwargs", cosine_kwargs)):
        pair = ("warmup_cosine_decay_schedule", cycle)
        schedules.append(_part(f"cosine_kwargs[{i}]", pair, None))
        boundaries.append(boundaries[-1] + whole_number("decay_steps", cycle["decay_steps"]))
    return _join(None, schedules, boundaries[1:-1])


def _join(total: int | None, schedules: Iterable[Any], boundaries: Iterable[int]) -> Schedule:
    given = _listed("schedules", schedules)
    edges = [0, *(whole_number("boundaries", each) for each in _listed("boundaries", boundaries))]
    if len(edges) != len(given) or edges != sorted(edges):
        raise InputError(
            "boundaries must be rising updates, one less than schedules, not "
            f"{edges[1:]} for {len(given)} schedules."
        )
    spans: list[int | None] = [end - start for start, end in pairwise(edges)]
    spans.append(None if total is None else max(total - edges[-1], 1))
    parts = [
        _part(f"schedules[{i}]", part, span)
        for i, (part, span) in enumerate(zip(given, spans, strict=True))
        if span != 0
    ]
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list, not {value!r:.60}.")
    result = list(cast("Iterable[Any]", value))
    if not result and name != "boundaries":
        raise InputError(f"{name} must hold at least one element.")
    return result


def _is_in_updates(schedule: Schedule) -> bool:
    """Return whether a schedule is resolved but for open phases."""
    times: list[Duration | None] = [getattr(schedule, name) for name in schedule.scales]
    if isinstance(schedule, MultiStep):
        times += schedule.at
    if isinstance(schedule, Piecewise):
        times += [when for when, _ in schedule.points]
    lengths = [getattr(schedule, name) for name in schedule.durations]
    return (
        (schedule.is_open or schedule.is_resolved)
        and all(length is None or isinstance(length, int) for length in lengths)
        and all(time is None or in_updates(time) for time in times)
        and all(map(_is_in_updates, schedule.parts))
    )


def _part(name: str, part: Any, span: int | None) -> Schedule:
    """Return one of several schedules, cut after the updates that it has."""
    if isinstance(part, Schedule):
        if not _is_in_updates(part):
            raise InputError(
                f"{name} must be in updates, and {part} is not: resolve it first, with "
                ".resolve(total)."
            )
        kind, arguments = None, {}
    elif isinstance(part, (tuple, list)) and len(cast("list[Any]", part)) == 2:
        kind, arguments = cast("tuple[Any, Any]", part)
    else:
        kind, arguments = None, None
    if not isinstance(arguments, Mapping):
        raise InputError(
            f"{name} must be a schedule or a pair of a name and a dict of arguments, such as "
            f"('constant_schedule', {{'value': 0.1}}), not {part!r:.60}; optax's functions of the "
            "count cannot be read."
        )
    try:
        if isinstance(part, Schedule):
            return fitted(part, span)
        return from_optax(kind, total=span, **cast("dict[str, Any]", arguments))
    except InputError as error:
        length = "" if span is None else f", of {span} updates"
        raise InputError(f"{name}{length}: {error}") from None


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

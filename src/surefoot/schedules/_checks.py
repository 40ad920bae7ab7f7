"""Checks of the arguments that schedules share; those of any package are in ``_base.checks``."""

from typing import Any

from surefoot._base.checks import number
from surefoot._base.units import Duration, duration
from surefoot.errors import InputError

__all__ = ["bent", "factor", "open_duration", "ratio"]


def factor(name: str, value: Any) -> float:
    """Return ``value`` as a finite float ≥ 0."""
    result = number(name, value)
    if not result >= 0:
        raise InputError(f"{name} must be at least 0, not {value!r}.")
    return result


def ratio(name: str, value: Any) -> float:
    """Return ``value`` as a float in (0, 1], one that a rate may be multiplied by for ever."""
    result = number(name, value)
    if not 0 < result <= 1:
        raise InputError(f"{name} must lie in (0, 1], not {value!r}.")
    return result


def bent(**exponents: float) -> str:
    """Return how a curve is bent by exponents, to be put after its description."""
    return "".join(f", {name} {value:g}" for name, value in exponents.items() if value != 1)


def open_duration(name: str, value: Any) -> Duration | None:
    """Return ``value`` if it is a duration or None, which leaves the phase open."""
    return None if value is None else duration(name, value)

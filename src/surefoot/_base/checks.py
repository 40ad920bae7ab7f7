"""Argument checks: each returns the value it was given, or says in one sentence what to mend."""

import math
from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex

from surefoot.errors import InputError

__all__ = ["count", "flag", "fraction", "learning_rate", "number", "one_of", "positive"]


def _shown(value: object) -> str:
    """Return a short repr of what the user gave."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def number(name: str, value: Any, *, finite: bool = True) -> float:
    """Return ``value`` as a float.

    Raises:
        InputError: it is no number, or it is NaN or infinite and ``finite`` is asked.
    """
    if isinstance(value, (bool, str)) or not isinstance(value, (SupportsFloat, SupportsIndex)):
        raise InputError(f"{name} must be a number, not {_shown(value)}.")
    bare = getattr(value, "detach", None)  # torch warns where a loss with its graph is read
    try:
        result = float(value if bare is None else bare())
    except (OverflowError, RuntimeError, TypeError, ValueError):  # an array, a number too large
        raise InputError(f"{name} must be one number, not {_shown(value)}.") from None
    if finite and not math.isfinite(result):
        raise InputError(f"{name} must be finite, not {result}.")
    return result


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a float > 0."""
    result = number(name, value)
    if not result > 0:
        raise InputError(f"{name} must be greater than 0, not {_shown(value)}.")
    return result


def learning_rate(name: str, value: Any) -> float:
    """Return ``value`` as a learning rate: finite and > 0 (sensible ones lie in 1e-6 … 1)."""
    result = number(name, value, finite=False)
    if not (0 < result < math.inf):
        raise InputError(
            f"{name} must be a finite learning rate greater than 0, not {_shown(value)}; "
            "most good ones lie between 1e-6 and 1."
        )
    return result


def fraction(name: str, value: Any, *, low: float = 0.0, high: float = 1.0) -> float:
    """Return ``value`` as a float in [low, high]."""
    result = number(name, value)
    if not low <= result <= high:
        raise InputError(f"{name} must lie in [{low:g}, {high:g}], not {_shown(value)}.")
    return result


def count(name: str, value: Any, *, least: int = 0) -> int:
    """Return ``value`` as an int ≥ ``least``; a float with a whole value is refused too."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise InputError(f"{name} must be a whole number, not {_shown(value)}.")
    result = int(value.__index__())
    if result < least:
        raise InputError(f"{name} must be at least {least}, not {result}.")
    return result


def flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, not {_shown(value)}.")
    return value


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of the ``allowed`` words."""
    words = list(allowed)
    if value not in words:
        listed = ", ".join(repr(word) for word in words)
        raise InputError(f"{name} must be one of {listed}, not {_shown(value)}.")
    return str(value)

"""The array functions that formulas use, for one Python number: the ``xp`` of the fast path.

A NumPy call on one number costs 3.4 µs, the same call here 0.05 µs. Formulas use no other array
functions than these six, ``abs`` and the arithmetic operators, so that every array library that
has the six can run them.
"""

import bisect
import math
from typing import Any, Literal

__all__ = ["cos", "maximum", "minimum", "searchsorted", "take", "where"]

cos = math.cos
maximum = max
minimum = min


def where(condition: bool, yes: float, no: float) -> float:
    """Return ``yes`` where the condition holds, else ``no``."""
    return yes if condition else no


def searchsorted(ascending: Any, value: float, side: Literal["right"]) -> int:  # noqa: ARG001
    """Return how many of the ``ascending`` numbers are at most ``value``."""
    return bisect.bisect_right(ascending, value)


def take(values: Any, index: int) -> float:
    """Return the number at ``index``."""
    return float(values[index])

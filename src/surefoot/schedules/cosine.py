"""Decay along half a period of a cosine."""

import math
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction
from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Cosine", "cosine"]


@dataclass(frozen=True, repr=False)
class Cosine(Phase):
    """Decay from the peak to a floor along half a period of a cosine.

    factor(j) = floor + (1 − floor) · (1 + cos(π · j / n)) / 2,  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the curve ends at, one update after the last; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> cosine(4).values().round(6).tolist()
        [1.0, 0.853553, 0.5, 0.146447]
        >>> cosine(4, floor=0.1)([4, 1000]).tolist()
        [0.1, 0.1]

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
    """

    duration: Duration | None = None
    floor: float = 0.0

    name = "cosine"
    words = "decay along a cosine to {floor:g} over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, floor=fraction)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        half_wave = (1 + xp.cos(math.pi * self._progress(t, xp))) / 2
        return self.floor + (1 - self.floor) * half_wave


cosine = Cosine

"""Warm-up: from a small factor to the peak."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction
from surefoot._base.units import Duration, duration
from surefoot.schedules._phase import Phase

__all__ = ["Warmup", "warmup"]


@dataclass(frozen=True, repr=False)
class Warmup(Phase):
    """Rise in a line to the peak, which the last update of the phase uses.

    factor(j) = start + (1 − start) · (j + 1) / n,  j = 0 … n − 1

    Args:
        duration: n, as a duration (see :mod:`surefoot.schedules`).
        start: factor that the line starts from, one update before the first; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> warmup(4).values().tolist()
        [0.25, 0.5, 0.75, 1.0]
        >>> warmup(4, start=0.2)([0, 3, 4, 1000]).round(6).tolist()
        [0.4, 1.0, 1.0, 1.0]

    Reference:
        Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017.
    """

    duration: Duration
    start: float = 0.0

    name = "warmup"
    words = "warm up from {start:g} to the peak over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=duration, start=fraction)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return self.start + (1 - self.start) * self._progress(t + 1, xp)


warmup = Warmup

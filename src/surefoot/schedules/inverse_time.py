"""Decay with one over the time."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.units import Duration, period
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["InverseTime", "inverse_time"]


@dataclass(frozen=True, repr=False)
class InverseTime(Phase):
    """Decay from the peak with one over the time.

    factor(j) = 1 / (1 + rate · j / every),  j = 0 … n − 1

    Args:
        rate: how fast; after ``every / rate`` updates the factor is one half. Finite, ≥ 0.
        every: duration that the rate is for, at least one update.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> inverse_time(1, every=2, duration=5).values().round(6).tolist()
        [1.0, 0.666667, 0.5, 0.4, 0.333333]
        >>> inverse_time(1, every=2, duration=6)([6, 1000]).tolist()
        [0.25, 0.25]

    Reference:
        Robbins and Monro, A Stochastic Approximation Method, 1951.
    """

    rate: float
    every: Duration = 1
    duration: Duration | None = None

    name = "inverse_time"
    words = "decay as 1 / (1 + {rate:g} · time / {every}) for {duration}"
    scales = ("every",)

    def __post_init__(self) -> None:
        self._check(rate=_checks.factor, every=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return 1 / (1 + self.rate * (self._local(t, xp) / self._scale["every"]))


inverse_time = InverseTime

"""Decay by powers of e."""

import math
from dataclasses import dataclass
from typing import Any

from surefoot._base.units import Duration, period
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["NaturalExponential", "natural_exponential"]


@dataclass(frozen=True, repr=False)
class NaturalExponential(Phase):
    """Decay from the peak exponentially, given by the rate constant of the exponent.

    factor(j) = exp(−rate · j / every),  j = 0 … n − 1

    Args:
        rate: how fast; after ``every / rate`` updates the factor is 1/e. Finite, ≥ 0.
        every: duration that the rate is for, at least one update.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> natural_exponential(0.5, every=2, duration=4).values().round(6).tolist()
        [1.0, 0.778801, 0.606531, 0.472367]
        >>> natural_exponential(0.5, every=2, duration=4)([4, 1000]).round(6).tolist()
        [0.367879, 0.367879]
    """

    rate: float
    every: Duration = 1
    duration: Duration | None = None

    name = "natural_exponential"
    words = "decay as exp(-{rate:g} · time / {every}) for {duration}"
    scales = ("every",)

    def __post_init__(self) -> None:
        self._check(rate=_checks.factor, every=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return math.e ** (-self.rate * (self._local(t, xp) / self._scale["every"]))


natural_exponential = NaturalExponential

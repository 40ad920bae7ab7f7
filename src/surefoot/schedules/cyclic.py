"""Triangles: up to the peak and down again, over and over."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction
from surefoot._base.units import Duration
from surefoot._base.units import period as checked_period
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Cyclic", "cyclic"]


@dataclass(frozen=True, repr=False)
class Cyclic(Phase):
    """Rise in a line to the peak and fall in a line again, over and over.

    factor(j) = low + (1 − low) · (1 − |2 · p − 1|),  p = (j mod period) / period

    Args:
        period: duration of one cycle, up and down, at least one update.
        low: factor that a cycle starts and ends at; in [0, 1].
        duration: length of the phase; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> cyclic(4, low=0.2, duration=8).values().round(6).tolist()
        [0.2, 0.6, 1.0, 0.6, 0.2, 0.6, 1.0, 0.6]
        >>> cyclic(4, low=0.2, duration=8)([8, 1000]).round(6).tolist()
        [0.2, 0.2]

    Reference:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
    """

    period: Duration
    low: float = 0.1
    duration: Duration | None = None

    name = "cyclic"
    words = "cycle between {low:g} and the peak every {period} for {duration}"
    durations = ("duration", "period")

    def __post_init__(self) -> None:
        self._check(period=checked_period, low=fraction, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        cycle = self._local(t, xp) % self.period / self.period
        return self.low + (1 - self.low) * (1 - abs(2 * cycle - 1))


cyclic = Cyclic

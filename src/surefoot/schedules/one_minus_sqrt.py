"""Decay with one minus the square root of the time: a cool-down."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction
from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["OneMinusSqrt", "one_minus_sqrt"]


@dataclass(frozen=True, repr=False)
class OneMinusSqrt(Phase):
    """Decay from the peak to a floor with one minus the square root of the time, fast first.

    factor(j) = floor + (1 − floor) · (1 − √(j / n)),  j = 0 … n − 1

    The cool-down of warm-up–stable–decay that was best in its study, over a fifth of the run.

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the curve ends at, one update after the last; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> one_minus_sqrt(4).values().round(4).tolist()
        [1.0, 0.5, 0.2929, 0.134]
        >>> one_minus_sqrt(4, floor=0.1)([4, 1000]).tolist()
        [0.1, 0.1]

    Reference:
        Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations,
        2024.
    """

    duration: Duration | None = None
    floor: float = 0.0

    name = "one_minus_sqrt"
    words = "cool down with one minus the square root to {floor:g} over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, floor=fraction)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return self.floor + (1 - self.floor) * (1 - self._progress(t, xp) ** 0.5)


one_minus_sqrt = OneMinusSqrt

"""Drops at fixed distances."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.units import Duration, period
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Step", "step"]


@dataclass(frozen=True, repr=False)
class Step(Phase):
    """Start at the peak and multiply by a number again and again: a staircase.

    factor(j) = drop^⌊j / every⌋,  j = 0 … n − 1

    Args:
        every: duration of one stair, at least one update.
        drop: what the factor is multiplied by after each stair; in (0, 1].
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> step(2, drop=0.5, duration=5).values().tolist()
        [1.0, 1.0, 0.5, 0.5, 0.25]
        >>> step(2, drop=0.5, duration=5)([5, 1000]).tolist()
        [0.25, 0.25]

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015.
    """

    every: Duration
    drop: float = 0.1
    duration: Duration | None = None

    name = "step"
    words = "start at the peak and multiply by {drop:g} every {every} for {duration}"
    scales = ("every",)

    def __post_init__(self) -> None:
        self._check(every=period, drop=_checks.ratio, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        stairs, _ = self._cycle(self._local(t, xp), "every")
        return self.drop**stairs


step = Step

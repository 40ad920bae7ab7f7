"""Drops at given times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._knots import Knotted, times

__all__ = ["MultiStep", "multi_step"]


@dataclass(frozen=True, repr=False)
class MultiStep(Knotted):
    """Start at the peak and multiply by a number at each of the given times.

    factor(j) = drop^(how many of the times are ≤ j),  j = 0 … n − 1

    Args:
        at: the times, rising durations from the start of the phase.
        drop: what the factor is multiplied by at each of them; in (0, 1].
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> multi_step([2, 4], drop=0.5, duration=6).values().tolist()
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
        >>> multi_step([2, 4], drop=0.5, duration=6)([6, 1000]).tolist()
        [0.25, 0.25]
        >>> multi_step(["50%", "75%"]).resolve(200)
        multi_step([100, 150], duration=200)

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015.
    """

    at: Sequence[Duration]
    drop: float = 0.1
    duration: Duration | None = None

    name = "multi_step"
    words = "start at the peak and multiply by {drop:g} at {at} for {duration}"

    def __post_init__(self) -> None:
        self._check(at=times, drop=_checks.ratio, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        passed = xp.searchsorted(self._knots, self._local(t, xp), side="right")
        return self.drop**passed

    def _whens(self) -> tuple[Duration, ...]:
        return tuple(self.at)

    def _changed(self, whens: tuple[Duration, ...]) -> dict[str, Any]:
        return {"at": whens}


multi_step = MultiStep

"""Factors that do not change."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Constant", "Hold", "constant", "hold"]


@dataclass(frozen=True, repr=False)
class Hold(Phase):
    """Stay at the peak.

    factor(j) = 1

    Args:
        duration: length of the phase; None fills what remains of the run.

    Raises:
        InputError: the duration is none.

    Example:
        >>> hold(3)([0, 2, 3, 1000]).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    duration: Duration | None = None

    name = "hold"
    words = "hold the peak for {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return 1.0 + 0.0 * self._local(t, xp)


@dataclass(frozen=True, repr=False)
class Constant(Phase):
    """Stay at one factor.

    factor(j) = factor

    Args:
        factor: finite number ≥ 0.
        duration: length of the phase; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> constant(0.3, 3)([0, 2, 3, 1000]).tolist()
        [0.3, 0.3, 0.3, 0.3]
    """

    factor: float
    duration: Duration | None = None

    name = "constant"
    words = "stay at {factor:g} of the peak for {duration}"

    def __post_init__(self) -> None:
        self._check(factor=_checks.factor, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return self.factor + 0.0 * self._local(t, xp)


hold = Hold
constant = Constant

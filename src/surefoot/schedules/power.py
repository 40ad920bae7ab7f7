"""Powers of the time."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import number
from surefoot._base.units import Duration, period
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["InverseSqrt", "Power", "inverse_sqrt", "power"]


@dataclass(frozen=True, repr=False)
class Power(Phase):
    """Decay from the peak with a negative power of the time.

    factor(j) = (1 + j / timescale)^exponent,  j = 0 … n − 1

    Such a decay does not depend on the length of the run.

    Args:
        exponent: in [-10, 0]; −0.5 is :func:`inverse_sqrt`, −1 is :func:`inverse_time`.
        timescale: duration after which the factor is 2^exponent, at least one update; after a
            warm-up usually as long as that.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> power(-1, timescale=2, duration=4).values().round(6).tolist()
        [1.0, 0.666667, 0.5, 0.4]
        >>> power(-1, timescale=2, duration=4)([4, 1000]).round(6).tolist()
        [0.333333, 0.333333]

    Reference:
        Shen et al., Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate
        Scheduler, 2024.
    """

    exponent: float
    timescale: Duration
    duration: Duration | None = None

    name = "power"
    words = "decay as (1 + time / {timescale})^{exponent:g} for {duration}"
    scales = ("timescale",)

    def __post_init__(self) -> None:
        self._check(exponent=_exponent, timescale=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return (1 + self._local(t, xp) / self._scale["timescale"]) ** self.exponent


@dataclass(frozen=True, repr=False)
class InverseSqrt(Phase):
    """Decay from the peak with one over the square root of the time.

    factor(j) = √(timescale / (timescale + j)),  j = 0 … n − 1

    Args:
        timescale: duration after which the factor is 1/√2 (it is 1/2 after three of them), at least
            one update; after a warm-up usually as long as that.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> inverse_sqrt(2, duration=7)([0, 2, 6]).round(6).tolist()
        [1.0, 0.707107, 0.5]
        >>> inverse_sqrt(2, duration=7)([7, 1000]).round(6).tolist()
        [0.471405, 0.471405]

    Reference:
        Vaswani et al., Attention Is All You Need, 2017.
    """

    timescale: Duration
    duration: Duration | None = None

    name = "inverse_sqrt"
    words = "decay with one over the square root of the time, timescale {timescale}, for {duration}"
    scales = ("timescale",)

    def __post_init__(self) -> None:
        self._check(timescale=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        timescale = self._scale["timescale"]
        return (timescale / (timescale + self._local(t, xp))) ** 0.5


def _exponent(name: str, value: Any) -> float:
    result = number(name, value)
    if not -10 <= result <= 0:
        raise InputError(f"{name} must lie in [-10, 0], not {value!r}.")
    return result


power = Power
inverse_sqrt = InverseSqrt

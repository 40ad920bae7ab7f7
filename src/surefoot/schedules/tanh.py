"""Decay along a hyperbolic tangent."""

import math
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction, number
from surefoot._base.units import Duration
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Tanh", "tanh"]


@dataclass(frozen=True, repr=False)
class Tanh(Phase):
    """Decay from near the peak to near a floor along a stretch of a hyperbolic tangent.

    factor(j) = floor + (1 − floor) · (1 − tanh(start + (end − start) · j / n)) / 2,  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the curve falls towards; in [0, 1].
        start: where on the tangent the phase starts; in [-20, 20]. At −7 the factor is 1 − 8e-7.
        end: where it ends; above start, at most 20. At 3 the factor is floor + 0.0025.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> tanh(4).values().round(6).tolist()
        [0.999999, 0.999877, 0.982014, 0.268941]
        >>> tanh(4)([4, 1000]).round(6).tolist()
        [0.002473, 0.002473]

    Reference:
        Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay on Classification,
        2019.
    """

    duration: Duration | None = None
    floor: float = 0.0
    start: float = -7.0
    end: float = 3.0

    name = "tanh"
    words = "decay along a hyperbolic tangent to about {floor:g} over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, floor=fraction, start=number, end=number)
        if not -20 <= self.start < self.end <= 20:
            raise InputError(
                "start and end must be rising and lie in [-20, 20], not "
                f"{self.start:g} and {self.end:g}."
            )

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        x = self.start + (self.end - self.start) * self._progress(t, xp)
        return self.floor + (1 - self.floor) / (1 + math.e ** (2 * x))  # (1 − tanh x) / 2


tanh = Tanh

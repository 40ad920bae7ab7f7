"""Decay along half a period of a cosine."""

import math
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction, positive
from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Cosine", "cosine"]


@dataclass(frozen=True, repr=False)
class Cosine(Phase):
    """Decay from the peak to a floor along half a period of a cosine.

    factor(j) = floor + (1 − floor) · ((1 + cos(π · (j / n)^k)) / 2)^power,  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the curve ends at, one update after the last; in [0, 1].
        power: exponent > 0 of the half wave; 1 is the usual cosine, above 1 it falls earlier.
        k: exponent > 0 of the time ("k-decay"); 1 is the usual one, above 1 the decay starts later.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> cosine(4).values().round(6).tolist()
        [1.0, 0.853553, 0.5, 0.146447]
        >>> cosine(4, floor=0.1)([4, 1000]).tolist()
        [0.1, 0.1]
        >>> cosine(4, k=2).values().round(6).tolist()
        [1.0, 0.990393, 0.853553, 0.402455]

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017; k from
        Zhang and Li, k-decay: A New Method for Learning Rate Schedule, 2020.
    """

    duration: Duration | None = None
    floor: float = 0.0
    power: float = 1.0
    k: float = 1.0

    name = "cosine"
    words = "decay along a cosine to {floor:g} over {duration}{bent}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, floor=fraction, power=positive, k=positive)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        part = self._progress(t, xp)
        if self.k != 1:
            part = part**self.k
        half_wave = (1 + xp.cos(math.pi * part)) / 2
        if self.power != 1:
            half_wave = half_wave**self.power
        return self.floor + (1 - self.floor) * half_wave

    def _values_in_words(self) -> dict[str, Any]:
        return {**super()._values_in_words(), "bent": _checks.bent(power=self.power, k=self.k)}


cosine = Cosine

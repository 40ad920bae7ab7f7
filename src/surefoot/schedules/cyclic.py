"""Triangles: up to the peak and down again, over and over."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, cast

from surefoot._base.checks import fraction
from surefoot._base.units import Duration
from surefoot._base.units import period as checked_period
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase
from surefoot.schedules._schedule import Schedule

__all__ = ["Cyclic", "cyclic"]


@dataclass(frozen=True, repr=False)
class Cyclic(Phase):
    """Rise in a line to the peak and fall in a line again, over and over.

    factor(j) = low + (1 − low) · min(p / rise, (1 − p) / (1 − rise)) · decay^c · gamma^j

    where c = ⌊j / period⌋ counts the cycles and p = j / period − c. With ``decay=0.5`` it is the
    policy "triangular2", with ``gamma`` below 1 "exp_range".

    Args:
        period: duration of one cycle, up and down, at least one update.
        low: factor that a cycle starts and ends at; in [0, 1].
        duration: length of the phase; None fills what remains of the run.
        rise: share of the cycle that goes up; in [0, 1].
        decay: what the height above ``low`` is multiplied by after each cycle; in (0, 1].
        gamma: what it is multiplied by after each update; in (0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> cyclic(4, low=0.2, duration=8).values().round(6).tolist()
        [0.2, 0.6, 1.0, 0.6, 0.2, 0.6, 1.0, 0.6]
        >>> cyclic(4, low=0.2, duration=8)([8, 1000]).round(6).tolist()
        [0.2, 0.2]
        >>> cyclic(4, low=0, duration=8, rise=0.25, decay=0.5).values().round(6).tolist()
        [0.0, 1.0, 0.666667, 0.333333, 0.0, 0.5, 0.333333, 0.166667]

    Reference:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017.
    """

    period: Duration
    low: float = 0.1
    duration: Duration | None = None
    rise: float = 0.5
    decay: float = 1.0
    gamma: float = 1.0

    name = "cyclic"
    words = "cycle between {low:g} and the peak every {period} for {duration}{bent}"
    scales = ("period",)

    def __post_init__(self) -> None:
        self._check(
            period=checked_period,
            low=fraction,
            duration=_checks.open_duration,
            rise=fraction,
            decay=_checks.ratio,
            gamma=_checks.ratio,
        )

    def _stretched(self, k: float) -> Schedule:
        longer = cast("Cyclic", super()._stretched(k))
        return dataclasses.replace(longer, gamma=self.gamma ** (1 / k))

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        j = self._local(t, xp)
        cycle, since = self._cycle(j, "period")
        p = since / self._scale["period"]
        up = p / self.rise if self.rise > 0 else 1.0
        down = (1 - p) / (1 - self.rise) if self.rise < 1 else 1.0
        height = xp.minimum(up, down)
        if self.decay != 1:
            height = height * self.decay**cycle
        if self.gamma != 1:
            height = height * 2 ** (math.log2(self.gamma) * j)
        return self.low + (1 - self.low) * height

    def _values_in_words(self) -> dict[str, Any]:
        bent = ""
        if self.rise != 0.5:
            bent += f", rising for {100 * self.rise:g}% of each cycle"
        if self.decay != 1:
            bent += f", each cycle {self.decay:g} times as high as the one before"
        if self.gamma != 1:
            bent += f", each update {self.gamma:g} times as high"
        return {**super()._values_in_words(), "bent": bent}


cyclic = Cyclic

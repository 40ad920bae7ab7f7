"""Warm-up: from a small factor to the peak."""

import math
from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction, one_of
from surefoot._base.units import AUTO, Duration, duration
from surefoot.errors import InputError
from surefoot.schedules._phase import Phase

__all__ = ["Warmup", "warmup"]


@dataclass(frozen=True, repr=False)
class Warmup(Phase):
    """Rise to the peak, which the last update of the phase uses.

    With p = (j + 1) / n, j = 0 … n − 1:

    ===============  ==================================================
    ``linear``       factor(j) = start + (1 − start) · p
    ``exponential``  factor(j) = start^(1 − p)
    ``cosine``       factor(j) = start + (1 − start) · (1 − cos πp) / 2
    ===============  ==================================================

    Args:
        duration: n, as a duration (see :mod:`surefoot.schedules`), or ``"auto"``: 2 / (1 − β2)
            updates, the "untuned" warm-up of Adam, but at most 10 % of the run. The scheduler takes
            β2 from the optimizer, and for one without β2 it is 10 % of the run; ``resolve`` takes
            0.999 unless it is told.
        start: factor that the curve starts from, one update before the first; in [0, 1], and above
            0 for the exponential one.
        shape: ``"linear"``, ``"exponential"`` or ``"cosine"``.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> warmup(4).values().tolist()
        [0.25, 0.5, 0.75, 1.0]
        >>> warmup(4, start=0.2)([0, 3, 4, 1000]).round(6).tolist()
        [0.4, 1.0, 1.0, 1.0]
        >>> warmup(4, start=0.0625, shape="exponential").values().tolist()
        [0.125, 0.25, 0.5, 1.0]
        >>> warmup(4, shape="cosine").values().round(6).tolist()
        [0.146447, 0.5, 0.853553, 1.0]
        >>> from surefoot.schedules import cosine
        >>> (warmup("auto") >> cosine()).resolve(10_000, beta2=0.99)
        warmup(200) >> cosine(9800)

    Reference:
        Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017; for the
        automatic duration Ma and Yarats, On the Adequacy of Untuned Warmup for Adaptive
        Optimization, 2019.
    """

    duration: Duration
    start: float = 0.0
    shape: str = "linear"

    name = "warmup"
    words = "warm up{how} from {start:g} to the peak over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_automatic_or_given, start=fraction, shape=_shape)
        if self.shape == "exponential" and self.start == 0:
            raise InputError("start must be above 0 for an exponential warm-up, such as 0.01.")

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        part = self._progress(t + 1, xp)
        if self.shape == "exponential":
            return self.start ** (1 - part)
        if self.shape == "cosine":
            part = (1 - xp.cos(math.pi * part)) / 2
        return self.start + (1 - self.start) * part

    def _values_in_words(self) -> dict[str, Any]:
        how = {"linear": "", "exponential": " exponentially", "cosine": " along a cosine"}
        return {**super()._values_in_words(), "how": how[self.shape]}


def _automatic_or_given(name: str, value: Any) -> Duration:
    return AUTO if isinstance(value, str) and value == AUTO else duration(name, value)


def _shape(name: str, value: Any) -> str:
    return one_of(name, value, ("linear", "exponential", "cosine"))


warmup = Warmup

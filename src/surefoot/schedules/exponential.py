"""Decay by the same ratio at every update."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from surefoot._base.units import Duration, in_words, period
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Exponential", "exponential"]


@dataclass(frozen=True, repr=False)
class Exponential(Phase):
    """Decay from the peak by the same ratio at every update, given by its end or by its rate.

    factor(j) = floor^(j / n)  or  gamma^(j / every),  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the curve ends at, one update after the last; in (0, 1].
        gamma: what the factor is multiplied by over ``every``; in (0, 1]. Give floor or gamma.
        every: duration that gamma is for, at least one update; goes with gamma.

    Raises:
        InputError: an argument is out of its range, or not one of floor and gamma is given.

    Example:
        >>> exponential(2, floor=0.01).values().round(6).tolist()
        [1.0, 0.1]
        >>> exponential(2, floor=0.01)([2, 1000]).tolist()
        [0.01, 0.01]
        >>> exponential(5, gamma=0.25, every=2).values().tolist()
        [1.0, 0.5, 0.25, 0.125, 0.0625]
    """

    duration: Duration | None = None
    floor: float | None = None
    gamma: float | None = None
    every: Duration = 1

    name = "exponential"
    words = "decay exponentially to {floor:g} over {duration}"
    scales = ("every",)

    def __post_init__(self) -> None:
        if (self.floor is None) == (self.gamma is None):
            raise InputError(
                "floor, the factor at the end, or gamma, the ratio over `every`, is what an "
                "exponential needs: give one of the two."
            )
        given = "gamma" if self.floor is None else "floor"
        self._check(duration=_checks.open_duration, every=period, **{given: _checks.ratio})
        if given == "floor" and self.every != 1:
            raise InputError("every goes with gamma, not with floor.")

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        if self.floor is not None:
            return self.floor ** self._progress(t, xp)
        # a power of 2 keeps a gamma near 1 exact in single precision
        return 2 ** (self._doublings / self._scale["every"] * self._local(t, xp))

    @cached_property
    def _doublings(self) -> float:
        """The logarithm of gamma to base 2."""
        return math.log2(cast("float", self.gamma))

    def _lengths(self) -> tuple[str, ...]:
        return super()._lengths() if self.floor is None else self.durations

    def _words(self) -> str:
        if self.floor is not None:
            return super()._words()
        every, length = in_words(self.every), in_words(self.duration)
        return f"decay exponentially by {self.gamma:g} every {every} for {length}"


exponential = Exponential

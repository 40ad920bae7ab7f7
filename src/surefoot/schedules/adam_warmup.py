"""Warm-ups that follow from Adam's own averages, for products: ``radam_warmup() * cosine()``."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from surefoot._base.checks import number
from surefoot._base.units import Duration, period
from surefoot.errors import InputError
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["ExponentialWarmup", "RAdamWarmup", "exponential_warmup", "radam_warmup"]


@dataclass(frozen=True, repr=False)
class ExponentialWarmup(Phase):
    """Rise quickly first and ever slower towards the peak, which is never quite reached.

    factor(j) = 1 − exp(−(j + 1) / timescale),  j = 0 … n − 1

    With ``timescale = 1 / (1 − β2)`` it is the "untuned" exponential warm-up of Adam.

    Args:
        timescale: duration after which 63 % of the peak is reached, at least one update.
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> exponential_warmup(2, duration=4).values().round(6).tolist()
        [0.393469, 0.632121, 0.77687, 0.864665]
        >>> exponential_warmup(2, duration=4)([4, 1000]).round(6).tolist()
        [0.917915, 0.917915]

    Reference:
        Ma and Yarats, On the Adequacy of Untuned Warmup for Adaptive Optimization, 2019.
    """

    timescale: Duration
    duration: Duration | None = None

    name = "exponential_warmup"
    words = "approach the peak with timescale {timescale} for {duration}"
    durations = ("duration", "timescale")

    def __post_init__(self) -> None:
        self._check(timescale=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return 1 - math.e ** (-(self._local(t, xp) + 1) / self.timescale)


@dataclass(frozen=True, repr=False)
class RAdamWarmup(Phase):
    """The rectification of RAdam as a warm-up: small while Adam's second moment is uncertain.

    factor(j) = √( (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ) ),  ρ = ρ∞ − 2 t β2^t / (1 − β2^t)

    where ρ∞ = 2 / (1 − β2) − 1 and t = j + δ: the first update uses the first t with ρ > 4 (δ = 5
    for every usual β2), so that no update has rate 0.

    Args:
        beta2: decay of Adam's second moment, in (0.6, 1).
        duration: n; None fills what remains of the run.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> factors = radam_warmup(0.999, duration=1000).values()
        >>> factors[[10 - 5, 100 - 5, 1000 - 5]].round(4).tolist()  # t = 10, 100, 1000
        [0.049, 0.2153, 0.6453]

    Reference:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020; the shift by δ
        from Ma and Yarats, On the Adequacy of Untuned Warmup for Adaptive Optimization, 2019.
    """

    beta2: float = 0.999
    duration: Duration | None = None

    name = "radam_warmup"
    words = "warm up as RAdam does with β2 = {beta2:g} for {duration}"

    def __post_init__(self) -> None:
        self._check(beta2=_usable_beta2, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        limit = self._limit
        rho = self._rho(self._local(t, xp) + self._first)
        scale = limit / ((limit - 4) * (limit - 2))
        return ((rho - 4) * (rho - 2) / rho * scale) ** 0.5

    @property
    def _limit(self) -> float:
        return 2 / (1 - self.beta2) - 1

    def _rho(self, t: Any) -> Any:
        decayed = self.beta2**t
        return self._limit - 2 * t * decayed / (1 - decayed)

    @cached_property
    def _first(self) -> int:
        """The first t at which the variance is known, so that the factor is above 0."""
        t = 1
        while not self._rho(t) > 4:
            t += 1
        return t


def _usable_beta2(name: str, value: Any) -> float:
    result = number(name, value)
    if not 0.6 < result < 1:
        raise InputError(f"{name} must lie in (0.6, 1), not {value!r}.")
    return result


exponential_warmup = ExponentialWarmup
radam_warmup = RAdamWarmup

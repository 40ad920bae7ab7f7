"""Warm-ups that follow from Adam's own averages, for products: ``radam_warmup() * cosine()``."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from surefoot._base.checks import number
from surefoot._base.units import Duration, period
from surefoot.errors import InputError
from surefoot.schedules import _checks, _scalar
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
    scales = ("timescale",)

    def __post_init__(self) -> None:
        self._check(timescale=period, duration=_checks.open_duration)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return 1 - math.e ** (-(self._local(t, xp) + 1) / self._scale["timescale"])


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
        limit = 2 / (1 - self.beta2) - 1
        rho = self._rho(self._local(t, xp) + self._first, xp)
        scale = limit / ((limit - 4) * (limit - 2))
        return ((rho - 4) * (rho - 2) / rho * scale) ** 0.5

    def _rho(self, t: Any, xp: Any) -> Any:
        """Return ρ without the difference of large numbers that its definition is.

        With r = −log β2 and x = r t it is c + 2 (1 − h) / r, where h = x / (e^x − 1), of which the
        series is taken where x is small, and c = 2 / (1 − β2) − 1 − 2 / r.
        """
        rate = self._rate
        x = rate * t
        small = xp.minimum(x, 0.1)
        square = small * small
        series = small / 2 - square / 12 * (1 - square / 60 * (1 - square / 42 * (1 - square / 40)))
        large = xp.minimum(xp.maximum(x, 0.1), 80.0)  # where h is 0 in any precision
        rest = xp.where(x < 0.1, series, 1 - large / (math.e**large - 1))
        return self._offset + 2 / rate * rest

    @cached_property
    def _rate(self) -> float:
        return -math.log(self.beta2)

    @cached_property
    def _offset(self) -> float:
        """c, the limit of ρ less 2 / r."""
        rate = self._rate
        if rate < 0.01:
            return rate / 6 - rate**3 / 360
        return 2 / (1 - self.beta2) - 1 - 2 / rate

    @cached_property
    def _first(self) -> int:
        """The first t at which the variance is known, so that the factor is above 0."""
        t = 1
        while not self._rho(t, _scalar) > 4:
            t += 1
        return t


def _usable_beta2(name: str, value: Any) -> float:
    result = number(name, value)
    if not 0.6 < result < 1:
        raise InputError(f"{name} must lie in (0.6, 1), not {value!r}.")
    return result


exponential_warmup = ExponentialWarmup
radam_warmup = RAdamWarmup

"""Decay in a line, and along a power of it."""

from dataclasses import dataclass
from typing import Any

from surefoot._base.checks import fraction, positive
from surefoot._base.units import Duration
from surefoot.schedules import _checks
from surefoot.schedules._phase import Phase

__all__ = ["Linear", "Polynomial", "linear", "polynomial"]


@dataclass(frozen=True, repr=False)
class Linear(Phase):
    """Decay in a line from the peak to a floor.

    factor(j) = floor + (1 − floor) · (1 − j / n),  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        floor: factor that the line ends at, one update after the last; in [0, 1].

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> linear(4).values().tolist()
        [1.0, 0.75, 0.5, 0.25]
        >>> linear(4, floor=0.2)([0, 3, 4, 1000]).round(6).tolist()
        [1.0, 0.4, 0.2, 0.2]

    Reference:
        Bergsma et al., Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works
        Best for LLMs, 2025.
    """

    duration: Duration | None = None
    floor: float = 0.0

    name = "linear"
    words = "decay in a line to {floor:g} over {duration}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, floor=fraction)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        return self.floor + (1 - self.floor) * self._remaining(t, xp)


@dataclass(frozen=True, repr=False)
class Polynomial(Phase):
    """Decay from the peak to a floor along a power of a line.

    factor(j) = floor + (1 − floor) · (1 − (j / n)^k)^power,  j = 0 … n − 1

    Args:
        duration: n; None fills what remains of the run.
        power: exponent > 0; 1 is a line, above 1 the decay is fast first, below 1 fast last.
        floor: factor that the curve ends at, one update after the last; in [0, 1].
        k: exponent > 0 of the time ("k-decay"); 1 is the usual one, above 1 the decay starts later.

    Raises:
        InputError: an argument is out of its range.

    Example:
        >>> polynomial(4, power=2).values().tolist()
        [1.0, 0.5625, 0.25, 0.0625]
        >>> polynomial(4, power=2, floor=0.1)([4, 1000]).tolist()
        [0.1, 0.1]

    Reference:
        Chen et al., DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous
        Convolution, and Fully Connected CRFs, 2016 (the "poly" policy); k from Zhang and Li,
        k-decay: A New Method for Learning Rate Schedule, 2020.
    """

    duration: Duration | None = None
    power: float = 1.0
    floor: float = 0.0
    k: float = 1.0

    name = "polynomial"
    words = "decay along a line to the power {power:g} to {floor:g} over {duration}{bent}"

    def __post_init__(self) -> None:
        self._check(duration=_checks.open_duration, power=positive, floor=fraction, k=positive)

    def evaluate(self, t: Any, xp: Any) -> Any:
        """Return the factors at ``t``; see :meth:`Schedule.evaluate`."""
        rest = self._remaining(t, xp) if self.k == 1 else 1 - self._progress(t, xp) ** self.k
        return self.floor + (1 - self.floor) * rest**self.power

    def _values_in_words(self) -> dict[str, Any]:
        return {**super()._values_in_words(), "bent": _checks.bent(k=self.k)}


linear = Linear
polynomial = Polynomial

"""How far a loss stands from those before it."""

import math
from collections import deque
from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["LossZ"]

WINDOW = 128
LEAST = 16


class LossZ(Quantity):
    r"""Standard score of the loss against the 128 updates before it.

    .. math:: z_t = \frac{L_t - \bar L}{s_L}

    Records ``loss_z``, dimensionless, at each update from the 17th on; above 6 is a spike. Losses
    that are not finite have none and do not count. Costs nothing on the device.

    Reference:
        OLMo team, *2 OLMo 2 Furious*, 2024 (updates beyond six standard deviations are skipped).
    """

    needs = frozenset({"loss"})
    cadence = 1

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW)
        self._sum = self._squares = self._origin = 0.0  # of the differences from an origin
        self._taken = 0

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Return nothing: the loss is all."""
        return {}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return the score, and let the loss count for those to come."""
        loss = numbers.get("loss", math.nan)
        if not math.isfinite(loss):
            return {}
        score = self._score(loss)
        self._take(loss)
        return {} if score is None else {"loss_z": score}

    def _score(self, loss: float) -> float | None:
        count = len(self._window)
        if count < LEAST:
            return None
        mean = self._sum / count
        variance = (self._squares - count * mean * mean) / (count - 1)
        if not variance > 1e-12 * self._squares / count:  # rounding leaves as much of none
            return None
        return (loss - self._origin - mean) / math.sqrt(variance)

    def _take(self, loss: float) -> None:
        difference = loss - self._origin
        if len(self._window) == WINDOW:
            oldest = self._window[0] - self._origin
            self._sum -= oldest
            self._squares -= oldest * oldest
        self._window.append(loss)
        self._sum += difference
        self._squares += difference * difference
        self._taken += 1
        if self._taken % WINDOW == 1:  # an origin near by loses fewer digits
            self._origin = math.fsum(self._window) / len(self._window)
            differences = [each - self._origin for each in self._window]
            self._sum = math.fsum(differences)
            self._squares = math.fsum(each * each for each in differences)

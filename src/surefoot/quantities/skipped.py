"""Updates that were left out because a gradient was not finite."""

from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["Skipped"]


class Skipped(Quantity):
    """How many updates a GradScaler has skipped so far.

    Records ``skipped``, a count, at each update that was skipped. A fused optimizer skips on its
    device, where that is noted without waiting for it.
    """

    cadence = 1

    def __init__(self) -> None:
        self._count = 0

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return whether it was skipped."""
        return {"skipped": update.skipped} if update.skipped is not None else {}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Count."""
        if not numbers or not numbers["skipped"]:
            return {}
        self._count += 1
        return {"skipped": self._count}

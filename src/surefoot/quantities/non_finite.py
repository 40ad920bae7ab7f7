"""Gradients that hold NaN or infinity."""

from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["NonFinite"]


class NonFinite(Quantity):
    """How many elements of the gradient are NaN or ±infinite.

    Records ``non_finite``, a count. Costs nothing on a CPU while there are none, elsewhere one pass
    over the gradients.
    """

    needs = frozenset({"gradient"})
    passes = 1
    summed = True

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the count."""
        return {"non_finite": update.not_finite()}

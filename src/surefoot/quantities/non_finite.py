"""Gradients that hold NaN or infinity."""

from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["NonFinite"]


class NonFinite(Quantity):
    """How many parameter tensors have a gradient with NaN or ±inf in it.

    Records ``non_finite``, a count; of a sharded model each shard counts. Shares the pass over the
    gradients with their norm.
    """

    needs = frozenset({"gradient"})
    passes = 1
    summed = True

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return the count."""
        return {"non_finite": update.not_finite()}

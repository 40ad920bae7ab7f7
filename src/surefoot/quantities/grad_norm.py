"""The norm of the gradient."""

import math
from collections.abc import Mapping

from torch import Tensor

from surefoot.quantities._quantity import Quantity
from surefoot.quantities._update import Update

__all__ = ["GradNorm"]


class GradNorm(Quantity):
    r"""L2 norm of all gradients together, as the optimizer gets them (unscaled, after clipping).

    .. math:: \|g\| = \sqrt{\textstyle\sum_p \|g_p\|_2^2}

    Records ``grad_norm``, in the unit of loss per weight. Costs one pass over the gradients. Of a
    step that computes its gradients itself, in a closure, it is the norm of those that were there
    before, in the first step of those that came.
    """

    needs = frozenset({"gradient"})
    passes = 1
    summed = True

    def measure(self, update: Update) -> Mapping[str, Tensor | float]:
        """Return its square."""
        return {"squared": update.norm_squared("gradient")}

    def values(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Return the norm."""
        return {"grad_norm": math.sqrt(numbers["squared"])}
